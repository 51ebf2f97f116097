/** Whether this XenoServer takes new domains: an operator who empties it for maintenance says no. It is remembered. */
import { XenoError } from "../../cowfs/errors.ts";
import { readStateFile, removeStateFile, writeStateFile } from "../state-file.ts";

export class Draining {
  readonly #server: string;
  readonly #file: string;
  #isDraining = false;

  /** `server`: its name. */
  constructor(server: string, file: string) {
    this.#server = server;
    this.#file = file;
  }

  async load(): Promise<void> {
    this.#isDraining = (await readStateFile<{ format: 1 }>(this.#file, 1)) !== undefined;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  async set(isDraining: boolean): Promise<void> {
    if (isDraining) await writeStateFile(this.#file, { format: 1 });
    else await removeStateFile(this.#file);
    this.#isDraining = isDraining;
  }

  /** Throws `server-draining`. */
  refuse(): void {
    if (!this.#isDraining) return;
    throw new XenoError("server-draining", `XenoServer ${this.#server} is being emptied, and takes no domains`, {
      hint: `deploy elsewhere; when its maintenance is over: xeno server drain ${this.#server} --undo`,
    });
  }
}
