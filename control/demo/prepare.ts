/**
 * What a client and an operator do before anything can be deployed: keys, templates, and an overlay. Everything is cached
 * by what it was made from, so only the first `npm start` takes its time.
 */
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { findTemplate } from "../../templates/names/name-table.ts";
import { buildOverlay } from "../../templates/overlays/build-overlay.ts";
import { publishOverlay } from "../../templates/overlays/publish-overlay.ts";
import { createKey, loadKey, type SigningKey, trustKey } from "../../xenostore/keys/key-ring.ts";
import { formatOverlayUrl, parseOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import type { Home } from "../cli/home.ts";
import { formatBytes } from "../cli/output.ts";
import { importFrom } from "../cli/template-commands.ts";
import type { Narrator } from "./narrate.ts";

export const templateUrl = "template://Debian/12/current";
export const kernelUrl = "template://Debian-kernel/6.1/current";
export const overlayUrl = "xenostore://demo/apache";

export interface Preparation {
  readonly home: Home;
  readonly store: ObjectStore;
  readonly layers: Layers;
  readonly signal: AbortSignal;
  readonly narrator: Narrator;
}

export interface TreeFigures {
  readonly id: string;
  readonly files: number;
  /** File bytes, each hard-linked file counted once. */
  readonly bytes: number;
}

export async function prepareTemplate(preparation: Preparation): Promise<TreeFigures> {
  await requireTemplate(preparation, templateUrl, "Debian/12", { debian: "12" });
  return await measure(preparation, templateUrl);
}

export async function prepareKernel(preparation: Preparation): Promise<void> {
  await requireTemplate(preparation, kernelUrl, "Debian-kernel/6.1", { kernel: true });
}

/** Builds and publishes the overlay unless the store has it from the same script and template. */
export async function prepareOverlay(
  preparation: Preparation,
  script: string,
  overlay = overlayUrl,
): Promise<TreeFigures & { url: string }> {
  const { home, store, layers, signal, narrator } = preparation;
  const template = await layers.resolveUrl(templateUrl, signal);
  const inputs = createHash("sha256")
    .update(await fs.readFile(script))
    .update(template.tree);
  const url = formatOverlayUrl({ ...parseOverlayUrl(overlay), version: inputs.digest("hex").slice(0, 16) });
  if (await isPublished(layers, url, signal)) narrator.tell("overlay", `${url} is in the store`);
  else {
    const key = await requireKey(home, "demo");
    const journal = home.at("builds", `${parseOverlayUrl(overlay).name}-${process.pid}-${Date.now()}`);
    narrator.tell("overlay", `building it over ${templateUrl} with ${script}`);
    try {
      const onOutput = (line: string) => narrator.tellSometimes("overlay", line.trim().slice(0, 100));
      await buildOverlay({ layers, from: templateUrl, script, journal, signal, onOutput });
      const published = await publishOverlay({ layers, store, key, source: journal, url, signal });
      const { files, newChunks, reusedChunks, sentBytes } = published;
      narrator.tell(
        "overlay",
        `published ${url}: ${files} files, ${newChunks} new chunks and ${reusedChunks} of the template's, ${formatBytes(sentBytes)} sent`,
      );
    } finally {
      await fs.rm(journal, { recursive: true, force: true });
    }
  }
  return { url, ...(await measure(preparation, url)) };
}

async function requireTemplate(
  { home, store, signal, narrator }: Preparation,
  url: string,
  name: string,
  source: Parameters<typeof importFrom>[0],
): Promise<void> {
  const table = { store, trust: home.trust };
  const known = await findTemplate(table, url);
  if (known !== undefined) return narrator.tell("template", `${url} is in the store: version ${known.version}`);
  const key = await requireKey(home, "templates");
  narrator.tell("template", `importing ${url}`);
  const show = (text: string) => narrator.tellSometimes("template", text);
  const onProgress = ({ step, files, bytes }: { step: string; files: number; bytes: number }) =>
    show(files === 0 ? step : `${step}: ${files} files, ${formatBytes(bytes)}`);
  const imported = await importFrom(source, { table, key, name, signal, onProgress }, show);
  narrator.tell("template", `imported ${imported.url}: ${imported.files} files, ${formatBytes(imported.bytes)}`);
}

/** The user's key of that name; made, and trusted for the owner of that name, where there is none. */
async function requireKey(home: Home, name: string): Promise<SigningKey> {
  try {
    return await loadKey(home.keys, name);
  } catch (error) {
    if (!(error instanceof XenoError && error.code === "key-missing")) throw error;
    const made = await createKey(home.keys, name);
    await trustKey(home.keys, name, made.publicKey);
    return made;
  }
}

async function isPublished(layers: Layers, url: string, signal: AbortSignal): Promise<boolean> {
  try {
    await layers.resolveUrl(url, signal);
    return true;
  } catch (error) {
    if (error instanceof XenoError && error.code === "overlay-unknown") return false;
    throw error;
  }
}

async function measure({ layers, signal }: Preparation, url: string): Promise<TreeFigures> {
  const { tree } = await layers.open(url, undefined, signal);
  return { id: tree.id, files: tree.inodeCount, bytes: tree.contentBytes };
}
