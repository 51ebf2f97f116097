/** The sessions of one environment manager: a state file each, in one directory. */
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { SerialQueues } from "../../xenod/serial-queues.ts";
import { listStateFiles, readStateFile, removeStateFile, writeStateFile } from "../../xenod/state-file.ts";
import type { Session } from "./session.ts";

/** Of those that ended the last are kept, for their clients to look at. */
const maxEnded = 1000;
const maxSessions = 2000;

export class SessionFiles {
  readonly #directory: string;
  readonly #onSave: (session: Session, moment: "before" | "after") => void;
  readonly #queues = new SerialQueues();
  readonly #sessions = new Map<string, Session>();

  /** `onSave` is told of each change that is about to be kept, and has been: it may throw. Tests die there. */
  constructor(directory: string, onSave: (session: Session, moment: "before" | "after") => void = () => {}) {
    this.#directory = directory;
    this.#onSave = onSave;
  }

  async load(): Promise<void> {
    const sessions: Session[] = [];
    for (const id of await listStateFiles(this.#directory)) {
      const session = await readStateFile<Session>(this.#file(id), 1);
      if (session !== undefined) sessions.push(session);
    }
    for (const session of sessions.sort((one, other) => one.created - other.created))
      this.#sessions.set(session.id, session);
  }

  /** Oldest first. */
  list(): Session[] {
    return [...this.#sessions.values()];
  }

  find(id: string): Session | undefined {
    return this.#sessions.get(id);
  }

  /** Of this client. Throws `session-unknown`, for another's as for none. */
  get(id: string, client: string): Session {
    const session = this.#sessions.get(id);
    if (session?.client === client) return session;
    throw new XenoError("session-unknown", `you have no session ${id} here`, { hint: "xeno session ls shows yours" });
  }

  /** Throws `sessions-full`. */
  requireRoom(): void {
    if (this.list().filter(({ state }) => state !== "ended").length < maxSessions) return;
    throw new XenoError("sessions-full", `there are ${maxSessions} sessions here`, { hint: "ask another XenoServer" });
  }

  /** What the record says now is on stable storage once this settles. */
  async save(session: Session): Promise<void> {
    this.#onSave(session, "before");
    await this.#queues.run(session.id, () => writeStateFile(this.#file(session.id), session));
    this.#sessions.set(session.id, session);
    this.#onSave(session, "after");
    await this.#forgetOldest();
  }

  async #forgetOldest(): Promise<void> {
    const ended = this.list().filter(({ state }) => state === "ended");
    for (const { id } of ended.slice(0, Math.max(0, ended.length - maxEnded))) {
      this.#sessions.delete(id);
      await removeStateFile(this.#file(id));
    }
  }

  #file(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}
