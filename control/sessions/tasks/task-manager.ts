/**
 * What a client may deploy in a session, by kind: a folder here for each. A task is a domain of its own, or a program that runs inside
 * the domain of another task; its manager says what Xenod is asked for. That domains run, are suspended and go as the session
 * says is keep-domains.ts'; that programs do is keep-programs.ts'.
 */
import type { TSchema } from "typebox";
import type { Deployment } from "../../../xenod/daemon/deployment.ts";
import type { AssignedProgram } from "../../../xenod/programs/assignment.ts";
import type { Session } from "../session.ts";
import type { TaskShare } from "../share-out.ts";

interface TaskKind {
  readonly kind: string;
  /** Of what the client says. */
  readonly schema: TSchema;
}

/** Each is a domain of its own, which takes its part of the session's resources. */
export interface DomainTasks<Asked = unknown> extends TaskKind {
  readonly runsIn: "own-domain";
  /** What Xenod is asked for, each time the same. Throws what the session does not allow. */
  describe(asked: Asked, place: TaskPlace): Omit<Deployment, "id">;
  /** It names no memory: see share-out.ts. */
  takesRest(asked: Asked): boolean;
}

/** Each runs inside another task's domain, and takes no more than that has. */
export interface ProgramTasks<Asked = unknown> extends TaskKind {
  readonly runsIn: "other-domain";
  /** Throws what is wrong with it. */
  describe(asked: Asked): Promise<DescribedProgram>;
}

export type TaskManager<Asked = unknown> = DomainTasks<Asked> | ProgramTasks<Asked>;

export interface TaskPlace {
  readonly session: Session;
  /** What the session's other domains leave over. */
  readonly left: TaskShare;
  /** The URL of the environment's kernel. */
  readonly kernel: string;
}

export interface DescribedProgram extends Omit<AssignedProgram, "id"> {
  /** The id of the task in whose domain it is to run. */
  readonly inside: string;
  /** In base64. */
  readonly tar: string;
}
