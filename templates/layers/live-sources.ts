/** The live layers that are open: a process for each place, shared by all that mount it, ended with the last of them. */
import { XenoError } from "../../cowfs/errors.ts";
import type { LiveSource } from "../../cowfs/layers/live/live-files.ts";
import { LiveProcess } from "../../cowfs/layers/live/process.ts";
import { type LivePolicy, LiveRules } from "./live-policy.ts";

const maxProcesses = 64;

export interface OpenedSource {
  readonly source: LiveSource;
  close(): Promise<void>;
}

export class LiveSources {
  readonly #rules: LiveRules;
  readonly #processes = new Map<string, { readonly process: LiveProcess; users: number }>();

  constructor(policy: LivePolicy) {
    this.#rules = new LiveRules(policy);
  }

  /** Throws what LiveRules.allow throws, or `too-many-layers`. */
  async open(url: string): Promise<OpenedSource> {
    const { opening, isWritable } = await this.#rules.allow(url);
    const key = JSON.stringify(opening);
    let shared = this.#processes.get(key);
    if (shared === undefined) {
      if (this.#processes.size >= maxProcesses)
        throw new XenoError("too-many-layers", `'${url}': ${maxProcesses} live layers are open here already`);
      shared = { process: new LiveProcess(opening), users: 0 };
      this.#processes.set(key, shared);
    }
    const { process } = shared;
    shared.users++;
    let isOpen = true;
    return {
      source: { id: url, isLive: true, isWritable, files: process },
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        if (--shared.users > 0) return;
        this.#processes.delete(key);
        process.close();
      },
    };
  }

  close(): void {
    for (const { process } of this.#processes.values()) process.close();
    this.#processes.clear();
  }
}
