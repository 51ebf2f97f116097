/**
 * Which trees this XenoServer's domains and their checkpoints need, running or not: the overlay, the kernel, and every layer that
 * a `.mount` brought. A checkpoint may need others than its domain does by now: a domain that follows its names moves on.
 */
import type { DomainRecord } from "./domain-record.ts";
import type { Host } from "./host.ts";

/** Of layers that a guest's `.mount` brings while it runs, a sweep's grace keeps the names for far longer. */
const lookMs = 30_000;

export class NeededTrees {
  readonly #host: Pick<Host, "records" | "fileServer" | "queues">;
  #known: readonly string[] | undefined;
  #changes = 0;
  #nextLook = 0;

  constructor(host: Pick<Host, "records" | "fileServer" | "queues">) {
    this.#host = host;
  }

  /** A record has changed. */
  forget(): void {
    this.#changes++;
    this.#known = undefined;
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    if (performance.now() >= this.#nextLook) {
      this.#nextLook = performance.now() + lookMs;
      this.forget();
      await this.#noteLayers(signal);
    }
    if (this.#known !== undefined) return this.#known;
    const { records } = this.#host;
    const seen = this.#changes;
    const trees = new Set<string>();
    for (const record of records.list())
      for (const needs of [record, ...(await records.checkpointsOf(record.name).list())])
        for (const tree of listTrees(needs)) trees.add(tree);
    const found = [...trees];
    if (this.#changes === seen) this.#known = found;
    return found;
  }

  /** What guests mounted since. */
  async #noteLayers(signal: AbortSignal): Promise<void> {
    const { records, fileServer, queues } = this.#host;
    const status = await fileServer.status(signal).catch(() => undefined);
    for (const { id, layers } of status?.exports ?? []) {
      const record = records.find(id);
      if (record === undefined || layers === undefined || isSame(layers, record.layers)) continue;
      await queues.run(id, async () => {
        if (records.find(id) !== record || record.state !== "running") return;
        record.layers = layers;
        await records.save(record);
      });
    }
  }
}

function listTrees({
  overlayTree,
  kernelTree,
  layers = [],
}: Pick<DomainRecord, "overlayTree" | "kernelTree" | "layers">): string[] {
  return [overlayTree, kernelTree, ...layers.map(({ tree }) => tree)];
}

function isSame(one: DomainRecord["layers"], other: DomainRecord["layers"]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
