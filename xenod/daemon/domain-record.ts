/**
 * What this XenoServer knows of its domains: one file each, `<state>/domains/<name>/record.json`.
 *
 * (R1) What is intended is on stable storage before it is done, and what was done after it was; so whoever finds the file
 * later knows all that may exist of the domain. (R2) A domain's directory without a record is rubbish.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { Checkpoints } from "../checkpoints/checkpoints.ts";
import type { LayerTree } from "../file-server/protocol.ts";
import { readStateFile, removeStateFile, writeStateFile } from "../state-file.ts";
import type { DeployedSize, Deployment } from "./deployment.ts";

/** In the order in which they happen: Figure 2 of the deployment paper. */
export const deploymentSteps = [
  /** Admitted: there is room, and every name is known and signed. */
  "accepted",
  /** Every layer was resolved and open. */
  "template",
  /** The union of the domain's own journal over the layers was open. */
  "overlay",
  /** The export accepted connections on the guest's own link. */
  "fileServer",
  /** The domain was created. */
  "hypervisor",
  /** Its CPUs ran. */
  "kernel",
  /** The guest had mounted its root. */
  "root",
  /** The guest had first read its init program. */
  "init",
] as const;
export type DeploymentStep = (typeof deploymentSteps)[number];

/** Why a guest that was to run does not. */
export type EndCause = "power-off" | "crash" | "host-boot";

export type DomainOperation =
  /** Taking a checkpoint; `ends`: the guest runs no more after it. */
  | { readonly kind: "suspend"; readonly checkpoint: number; readonly ends: boolean }
  /** Bringing the guest back; `before`: what the record is again if that fails. */
  | {
      readonly kind: "resume";
      readonly checkpoint: number;
      readonly before: Pick<DomainRecord, "intent" | "state" | "journal">;
    }
  /** Moving to another XenoServer. What is so far, the migration's own file says: migration/ends/. */
  | { readonly kind: "migrate"; readonly migration: string; readonly to: string }
  /** Coming from another XenoServer, as that file says. */
  | { readonly kind: "receive"; readonly migration: string; readonly from: string };

export interface DomainRecord {
  readonly format: 1;
  readonly name: string;
  /** As it was asked for, but of the size that it has: see resize-domain.ts. */
  deployment: Deployment;
  /** Of the size that was asked for first, where it was resized: the request is known by it when it comes again. */
  askedSize?: DeployedSize;
  /** The size that it is to have when it next boots, where that is another. */
  nextSize?: DeployedSize;
  readonly task: string;
  /** The trees that the URLs meant when the deployment was accepted. */
  overlayTree: string;
  readonly kernelTree: string;
  /** What its journal was last seen to lie over: the overlay, and what `.mount` files brought. */
  layers?: readonly LayerTree[];
  intent: "running" | "stopped" | "suspended" | "removed";
  /**
   * `deploying`: the guest has never run. `starting`: it ran before, and is to run again. `stopped`: it ended as it should.
   * `crashed`: it did not. `suspended`: it is in a checkpoint. `receiving`: it comes from another XenoServer, and has not run
   * here. `moved`: it was given to another one, which has not said that it took it; it is stopped, and kept.
   */
  state: "deploying" | "starting" | "running" | "stopped" | "crashed" | "suspended" | "receiving" | "moved";
  /** What is under way that must not be left half done. */
  operation?: DomainOperation;
  /** How often it was started again. */
  restarts?: number;
  /** Of the host (random(4)), when the guest was last started. */
  hostBoot?: string;
  /** By itself, not by a client. */
  endedBy?: EndCause;
  /** In words, where there is more to say. */
  reason?: string;
  /** Its routable address, while it has one. */
  address?: string;
  /** What the guest believes its address to be, where it was resumed with another one: its link translates. */
  guestAddress?: string;
  /** The directory of its journal in its own. Default `journal`. */
  journal?: string;
  /** Of a guest that was resumed: the one that it goes on with. */
  bootEpoch?: number;
  /** Connections that its guest does not know to be gone: its ports. */
  cutPorts?: readonly number[];
  /** How many checkpoints have been taken of it, or begun. */
  checkpoints?: number;
  /** Pack maps of checkpoints of it that were published last. */
  publishedLayouts?: readonly string[];
  /** The checkpoint after which nothing has changed in its journal. */
  suspendedAt?: number;
  /** Whether its link, and its export, may exist. */
  link: boolean;
  exported: boolean;
  /** Ms since the epoch. */
  steps: { [Step in DeploymentStep]?: number };
  ended?: number;
}

/** Throws `domain-unknown` where another deployment has the name by now. */
export function requireDeployment({ name, deployment }: DomainRecord, id: string): void {
  if (deployment.id === id) return;
  throw new XenoError("domain-unknown", `domain ${name} is of another deployment than ${id}`, {
    hint: "xeno ps shows those that there are",
  });
}

export class DomainRecords {
  readonly #directory: string;
  readonly #onChange: (name: string, record: DomainRecord | undefined) => void;
  readonly #records = new Map<string, DomainRecord>();

  /** `onChange` is told what is true from now on; of a domain that is gone, undefined. */
  constructor(directory: string, onChange: (name: string, record: DomainRecord | undefined) => void = () => {}) {
    this.#directory = directory;
    this.#onChange = onChange;
  }

  /** Reads them all; returns the directories that hold none (R2). */
  async load(): Promise<{ orphans: string[] }> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const orphans: string[] = [];
    for (const name of await readdir(this.#directory)) {
      const record = await readStateFile<DomainRecord>(this.#file(name), 1);
      if (record === undefined) orphans.push(name);
      else this.#records.set(name, record);
    }
    return { orphans };
  }

  directoryOf(name: string): string {
    return join(this.#directory, name);
  }

  journalOf({ name, journal = "journal" }: Pick<DomainRecord, "name" | "journal">): string {
    return join(this.#directory, name, journal);
  }

  checkpointsOf(name: string): Checkpoints {
    return new Checkpoints(name, this.directoryOf(name));
  }

  list(): DomainRecord[] {
    return [...this.#records.values()];
  }

  find(name: string): DomainRecord | undefined {
    return this.#records.get(name);
  }

  get(name: string): DomainRecord {
    const record = this.#records.get(name);
    if (record !== undefined) return record;
    throw new XenoError("domain-unknown", `there is no domain ${name}`, { hint: "xeno ps shows those that there are" });
  }

  /** Makes what the record says now the truth. */
  async save(record: DomainRecord): Promise<void> {
    this.#records.set(record.name, record);
    await writeStateFile(this.#file(record.name), record);
    this.#onChange(record.name, record);
  }

  /** Forgets a domain and deletes its journal and logs. */
  async remove(name: string): Promise<void> {
    await removeStateFile(this.#file(name));
    await rm(this.directoryOf(name), { recursive: true, force: true });
    this.#records.delete(name);
    this.#onChange(name, undefined);
  }

  #file(name: string): string {
    return join(this.#directory, name, "record.json");
  }
}
