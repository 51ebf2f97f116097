/**
 * The target's end of one migration, as a function of what it remembers.
 *
 * - (H6) The domain runs here only once `owned` is saved, which needs the source's `go` on top of a saved `prepared`.
 * - (H7) `refused` is saved before it is said, and is never taken back while the source may still say `go`: where nothing is
 *   known of a migration, `go` is refused, and that is remembered.
 * - (H8) `owned` is for ever: whatever happens to the domain from then on happens to it here.
 * - (H9) An answer is remembered until the source has said that it wrote it down.
 * - (H10) The target names the migration when it agrees to receive, and takes what comes under that name once, in the same
 *   life of its Xenod. So nothing old can make it `prepared` again after it was refused, aborted or forgotten.
 */
import type { Action, MigrationId, SourceMessage, TargetMessage } from "./messages.ts";

/** What the target remembers of a migration, on stable storage. */
export type TargetState =
  | { readonly state: "unknown" }
  | { readonly state: "prepared" }
  /** `isTold`: the source knows. */
  | { readonly state: "owned"; readonly isTold: boolean }
  | { readonly state: "refused" };

export interface TargetEnd {
  readonly saved: TargetState;
  /** Whether all that was sent is here, paused and ready to run. It does not survive the hypervisor's process. */
  readonly isWhole: boolean;
}

export type TargetAction = Action<TargetState, TargetMessage>;

export function hearSource(end: TargetEnd, message: SourceMessage): TargetAction[] {
  const { saved, isWhole } = end;
  const { migration } = message;
  switch (message.kind) {
    case "final":
      if (saved.state === "unknown" && isWhole) return [save({ state: "prepared" }), send("prepared", migration)];
      // The answer before was lost.
      if (saved.state === "prepared" && isWhole) return [send("prepared", migration)];
      return remindSource(end, migration);
    case "go":
      if (saved.state === "prepared" && isWhole)
        return [save({ state: "owned", isTold: false }), { kind: "run" }, send("done", migration)];
      if (saved.state === "owned") return [send("done", migration)];
      return refuse(saved, migration);
    case "abort":
      // An owned domain was never aborted (H3): this is an old message.
      if (saved.state === "owned") return [];
      return saved.state === "unknown" ? [{ kind: "discard" }] : [save({ state: "unknown" }), { kind: "discard" }];
    case "forget":
      if (saved.state === "owned") return saved.isTold ? [] : [save({ state: "owned", isTold: true })];
      return saved.state === "refused" ? [save({ state: "unknown" })] : [];
  }
}

/** After a start of Xenod: what was being received without being prepared is thrown away. */
export function restartTarget(end: TargetEnd, migration: MigrationId): TargetAction[] {
  if (end.saved.state === "unknown") return [{ kind: "discard" }];
  if (end.saved.state === "owned") return [{ kind: "run" }, ...remindSource(end, migration)];
  return remindSource(end, migration);
}

/** Now and then, while nothing is heard; and when what was prepared is lost. */
export function remindSource({ saved, isWhole }: TargetEnd, migration: MigrationId): TargetAction[] {
  if (saved.state === "prepared") return isWhole ? [send("inquire", migration)] : refuse(saved, migration);
  if (saved.state === "owned") return saved.isTold ? [] : [send("done", migration)];
  return saved.state === "refused" ? [send("refused", migration)] : [];
}

function refuse(saved: TargetState, migration: MigrationId): TargetAction[] {
  const remember: TargetAction[] = saved.state === "refused" ? [] : [save({ state: "refused" })];
  return [...remember, { kind: "discard" }, send("refused", migration)];
}

function save(state: TargetState): TargetAction {
  return { kind: "save", state };
}

function send(kind: TargetMessage["kind"], migration: MigrationId): TargetAction {
  return { kind: "send", message: { kind, migration } };
}
