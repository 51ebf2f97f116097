/** Performs a plan, one move after the other: each takes all that the network between two XenoServers gives. */
import type { XenodClient } from "../../xenod/api/client.ts";
import type { Task } from "../../xenod/daemon/task-list.ts";
import { describeError, type ErrorBody } from "../../xenod/http/json-server.ts";
import type { Peer } from "../../xenod/migration/peers/peer.ts";
import type { Move } from "./plan-moves.ts";

export interface PerformedMove extends Move {
  /** Why it did not move; where it runs then, the error says. */
  readonly error?: ErrorBody;
}

export interface MovesContext {
  connect(server: string): Promise<XenodClient>;
  describePeer(server: string): Promise<Peer>;
  readonly dropCheckpoints?: boolean;
  onProgress(move: Move, task: Task): void;
  readonly signal: AbortSignal;
}

/** What fails is told, and the others are performed all the same. */
export async function performMoves(moves: readonly Move[], context: MovesContext): Promise<PerformedMove[]> {
  const { signal, dropCheckpoints } = context;
  const performed: PerformedMove[] = [];
  for (const move of moves) {
    signal.throwIfAborted();
    try {
      const client = await context.connect(move.from);
      const to = await context.describePeer(move.to);
      const { task } = await client.migrate(move.domain, { to, dropCheckpoints }, signal);
      await client.waitForTask(task, (seen) => context.onProgress(move, seen), signal);
      performed.push(move);
    } catch (error) {
      signal.throwIfAborted();
      performed.push({ ...move, error: describeError(error) });
    }
  }
  return performed;
}
