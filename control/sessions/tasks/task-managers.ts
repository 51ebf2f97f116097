import { XenoError } from "../../../cowfs/errors.ts";
import { domainTasks } from "./domain/domain-task.ts";
import { programTasks } from "./program/program-task.ts";
import type { TaskManager } from "./task-manager.ts";

export const taskManagers: readonly TaskManager<never>[] = [domainTasks, programTasks];

/** Throws `task-kind-unknown`. */
export function findTaskManager(kind: string): TaskManager {
  const manager = taskManagers.find((candidate) => candidate.kind === kind);
  if (manager !== undefined) return manager as TaskManager;
  throw new XenoError("task-kind-unknown", `there are no tasks of kind ${JSON.stringify(kind.slice(0, 40))} here`, {
    hint: `there are ${taskManagers.map((each) => each.kind).join(", ")}`,
  });
}
