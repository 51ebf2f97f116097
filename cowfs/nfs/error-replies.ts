/**
 * The failures of recent changes, so that a retransmission gets the same one. They changed nothing, so they are not in
 * the journal: after a restart such a request runs again. Bounded; the oldest goes first.
 */
import type { RequestKey } from "../file-system.ts";

const maxReplies = 4096;

export class ErrorReplies {
  readonly #replies = new Map<RequestKey, Buffer>();

  find(key: RequestKey): Buffer | undefined {
    return this.#replies.size === 0 ? undefined : this.#replies.get(key);
  }

  keep(key: RequestKey, body: Buffer): void {
    this.#replies.set(key, body);
    if (this.#replies.size > maxReplies) this.#replies.delete(this.#replies.keys().next().value!);
  }

  clear(): void {
    this.#replies.clear();
  }
}
