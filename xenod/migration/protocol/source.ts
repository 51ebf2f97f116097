/**
 * The source's end of a migration, as a function of what it remembers (DESIGN-NOTES.md has the picture).
 *
 * - (H1) At most one end runs the domain, always. The source lets it run only while it is `here`; it is stopped before
 *   `final` is said, and `moved` is saved before `go` is said for the first time.
 * - (H2) Once `moved`, the domain runs here again only after the target's `refused`, which the target has saved.
 * - (H3) Until `moved` is saved the migration may be given up at any time, and a restart gives it up: whoever asks about a
 *   migration that is neither under way nor `moved` is told `abort`.
 * - (H4) Nothing of the domain is thrown away here before the target's `done`, which it has saved as `owned`.
 * - (H5) As soon as both ends can talk, exactly one runs: who is `moved` repeats `go` until it is answered.
 */
import type { Action, MigrationId, SourceMessage, TargetMessage } from "./messages.ts";

/** What the source remembers of a domain, on stable storage. */
export type SourceState =
  | { readonly state: "here" }
  /** In doubt until the target answers: it is stopped here, and kept. */
  | { readonly state: "moved"; readonly migration: MigrationId }
  | { readonly state: "gone"; readonly migration: MigrationId };

/** What it is doing; it forgets that when it ends. */
export interface SourceProgress {
  readonly migration: MigrationId;
  /** `stopped`: the domain is paused, and `final` has been said. */
  readonly phase: "copying" | "stopped";
}

export interface SourceEnd {
  readonly saved: SourceState;
  readonly progress?: SourceProgress;
}

export type SourceAction = Action<SourceState, SourceMessage>;

export interface SourceAnswer {
  /** The progress to remember from now on; forgotten where absent. */
  readonly progress?: SourceProgress;
  readonly actions: readonly SourceAction[];
}

/** The domain was stopped and its last state was sent. Call it once it is paused and its journal is synced. */
export function sayFinal(migration: MigrationId): SourceAnswer {
  return { progress: { migration, phase: "stopped" }, actions: [send("final", migration)] };
}

/** Gives the migration up, by command or because it failed. Where it has moved already, nothing happens. */
export function cancelMigration({ saved, progress }: SourceEnd): SourceAnswer {
  if (saved.state !== "here" || progress === undefined) return { progress, actions: [] };
  return { actions: [{ kind: "run" }, send("abort", progress.migration)] };
}

/** After a start of Xenod. */
export function restartSource(saved: SourceState): SourceAnswer {
  if (saved.state === "here") return { actions: [{ kind: "run" }] };
  if (saved.state === "gone") return { actions: [{ kind: "discard" }] };
  return { actions: [send("go", saved.migration)] };
}

/** Now and then, while nothing is heard (H5). */
export function remindTarget({ saved, progress }: SourceEnd): SourceAnswer {
  if (saved.state === "moved") return { progress, actions: [send("go", saved.migration)] };
  if (saved.state === "here" && progress?.phase === "stopped")
    return { progress, actions: [send("final", progress.migration)] };
  return { progress, actions: [] };
}

export function hearTarget(end: SourceEnd, message: TargetMessage): SourceAnswer {
  const { saved, progress } = end;
  const { migration } = message;
  const isUnderWay = saved.state === "here" && progress?.migration === migration;
  const hasMoved = saved.state === "moved" && saved.migration === migration;
  switch (message.kind) {
    case "prepared":
      if (isUnderWay && progress.phase === "stopped")
        return { actions: [{ kind: "save", state: { state: "moved", migration } }, send("go", migration)] };
      return { progress, actions: answerQuestion(isUnderWay, hasMoved, migration) };
    case "inquire":
      return { progress, actions: answerQuestion(isUnderWay, hasMoved, migration) };
    case "refused":
      if (hasMoved)
        return {
          actions: [{ kind: "save", state: { state: "here" } }, { kind: "run" }, send("forget", migration)],
        };
      if (isUnderWay) return { actions: [{ kind: "run" }, send("forget", migration)] };
      return { progress, actions: [send("forget", migration)] };
    case "done":
      if (hasMoved)
        return {
          actions: [
            { kind: "save", state: { state: "gone", migration } },
            { kind: "discard" },
            send("forget", migration),
          ],
        };
      return { progress, actions: [send("forget", migration)] };
  }
}

/** (H3). Where it is `gone`, the target has saved `owned`: a question can only come from a copy made of old messages. */
function answerQuestion(isUnderWay: boolean, hasMoved: boolean, migration: MigrationId): SourceAction[] {
  if (hasMoved) return [send("go", migration)];
  return isUnderWay ? [] : [send("abort", migration)];
}

function send(kind: SourceMessage["kind"], migration: MigrationId): SourceAction {
  return { kind: "send", message: { kind, migration } };
}
