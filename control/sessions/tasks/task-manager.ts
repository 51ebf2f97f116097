/**
 * What a client may deploy in a session, by kind: a folder here for each. What a task manager makes of a task is a domain that
 * Xenod is asked for; that the domain runs, is suspended and goes as the session says is keep-domains.ts'.
 */
import type { TSchema } from "typebox";
import type { Deployment } from "../../../xenod/daemon/deployment.ts";
import type { Session } from "../session.ts";
import type { TaskShare } from "../share-out.ts";

export interface TaskManager<Asked = unknown> {
  readonly kind: string;
  /** Of what the client says. */
  readonly schema: TSchema;
  /** What Xenod is asked for, each time the same. Throws what the session does not allow. */
  describe(asked: Asked, place: TaskPlace): Omit<Deployment, "id">;
  /** It names no memory: see share-out.ts. */
  takesRest(asked: Asked): boolean;
}

export interface TaskPlace {
  readonly session: Session;
  /** What the session's other domains leave over. */
  readonly left: TaskShare;
  /** The URL of the environment's kernel. */
  readonly kernel: string;
}
