/** What happens on a XenoServer, told to whoever listens: domains and tasks, whole, each time that they change. */
import type { DomainRecord } from "./domain-record.ts";
import type { Task } from "./task-list.ts";

export type ServerEvent =
  | { readonly kind: "domain"; readonly domain: DomainRecord }
  | { readonly kind: "domain-removed"; readonly name: string }
  | { readonly kind: "task"; readonly task: Task };

export class EventFeed {
  readonly #listeners = new Set<(event: ServerEvent) => void>();

  tell(event: ServerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Returns what ends it. */
  listen(listener: (event: ServerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
