/**
 * Exports that are about to come: a domain is on its way here, and its guest will stand still while its root is opened. What that
 * takes and can be done before its journal is here is done before: its layers are open, and the keeper holds its socket.
 *
 * Nothing depends on it: what a worker that died had prepared is made when the export is put.
 */
import type { OpenedTree } from "../../xenostore/pull/open-stored-tree.ts";
import type { ExportPreparation } from "./protocol.ts";
import type { ExportContext } from "./served-export.ts";

export class PreparedExports {
  readonly #layers = new Map<string, OpenedTree[]>();

  /** Settles when all is ready, or rejects with why it cannot be; then nothing of it stays. In the export's queue. */
  async prepare(
    id: string,
    { listen, layers }: ExportPreparation,
    context: Pick<ExportContext, "listen" | "openLayer">,
    signal: AbortSignal,
  ): Promise<void> {
    await this.release(id);
    const opened: OpenedTree[] = [];
    this.#layers.set(id, opened);
    try {
      for (const { url, tree } of layers) opened.push(await context.openLayer(url, tree, signal));
      const { handle } = await context.listen(id, listen);
      // The keeper has its own.
      (handle as { close(): void }).close();
    } catch (error) {
      await this.release(id);
      throw error;
    }
  }

  has(id: string): boolean {
    return this.#layers.has(id);
  }

  /** Once the export has opened them itself, or will not come. */
  async release(id: string): Promise<void> {
    const layers = this.#layers.get(id) ?? [];
    this.#layers.delete(id);
    for (const layer of layers) await layer.close().catch(() => {});
  }
}
