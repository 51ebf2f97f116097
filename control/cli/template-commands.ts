import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { type ImportedTemplate, importTemplate, type TemplateSource } from "../../templates/import/import-template.ts";
import { readRecipe, saveRecipe } from "../../templates/import/recipe.ts";
import { buildKernel } from "../../templates/kernel/build-kernel.ts";
import { findTemplate, listTemplates } from "../../templates/names/name-table.ts";
import { parseTemplateName } from "../../templates/names/template-name.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { layOutTrace } from "../../xenostore/publish/lay-out-trace.ts";
import { carryTrace } from "../../xenostore/traces/carry-trace.ts";
import { readContext } from "./context.ts";
import { formatBytes, printResult, tell } from "./output.ts";
import { bePatient, createPatienceOption, type PatienceFlag } from "./patience.ts";
import { createPrecacheCommand } from "./precache-command.ts";
import { withProgress } from "./progress.ts";

export function createTemplateCommands(): Command {
  const template = new Command("template").description("operating systems and kernels that overlays and guests use");

  template
    .command("import <name>")
    .description("import a file system or a kernel and publish it as template://NAME/VERSION and …/current")
    .addOption(
      new Option("--debian <release>", "build Debian with mmdebstrap: 11, 12 or 13").conflicts([
        "tar",
        "directory",
        "kernel",
      ]),
    )
    .addOption(new Option("--tar <file>", "a tarball (plain, gzip, xz or zstd)").conflicts(["directory", "kernel"]))
    .addOption(
      new Option("--oci <directory>", "an OCI image layout, as skopeo and umoci write it").conflicts([
        "debian",
        "tar",
        "directory",
        "kernel",
      ]),
    )
    .addOption(new Option("--image <name>", "with --oci: which image of it, where it holds several"))
    .addOption(new Option("--directory <directory>", "a directory of this machine").conflicts("kernel"))
    .addOption(new Option("--kernel [package]", "Debian's kernel, with an initramfs that mounts the guest's root"))
    .addOption(
      new Option("--variant <variant>", "with --debian: how much of it")
        .choices(["minbase", "standard"])
        .default("standard"),
    )
    .option("--version <version>", "default: from the content")
    .option("--key <name>", "the key to sign with", "templates")
    .addOption(createPatienceOption())
    .addHelpText(
      "after",
      `
An import that was interrupted is completed by running it again: what was stored is not sent twice.

Examples:
  xeno template import Debian/12 --debian 12
  xeno template import Debian-kernel/6.1 --kernel
  xeno template import appliance --tar ./appliance.tar.xz`,
    )
    .action(async (name: string, { patience, ...options }: ImportFlags & PatienceFlag, command: Command) => {
      const { json, home, signal } = readContext(command);
      // What is wrong with the command is told before anything is read.
      requireSource(options);
      parseTemplateName(`template://${name}/${options.version ?? "current"}`);
      const key = await loadKey(home.keys, options.key);
      const store = await home.openStore({ create: true, ...bePatient({ patience }) });
      const table = { store, trust: home.trust };
      const { imported } = await importAfter(options, { table, key, name, version: options.version, signal });
      await saveRecipe(home.at("imports"), name, options);
      printResult(json, describe(imported));
    });

  template
    .command("update <name>")
    .description("import a template again as it was imported before, and move …/current to what came of it")
    .option("--version <version>", "default: from the content")
    .addOption(createPatienceOption())
    .addHelpText(
      "after",
      `
What runs stays on the version that it was deployed with. The same content is the same version. What boots of the version
before read is what is brought first for the new one, and is laid out together in the store, so that it comes in few requests.

Example:
  xeno template update Debian/12`,
    )
    .action(async (name: string, { version, ...flags }: { version?: string } & PatienceFlag, command: Command) => {
      const { json, home, signal } = readContext(command);
      parseTemplateName(`template://${name}/${version ?? "current"}`);
      const recipe = await readRecipe(home.at("imports"), name);
      const key = await loadKey(home.keys, recipe.key);
      const store = await home.openStore(bePatient(flags));
      const table = { store, trust: home.trust };
      const { imported, before, laidOut } = await importAfter(recipe, { table, key, name, version, signal });
      const boot = laidOut && { bootRequestsBefore: laidOut.requestsBefore, bootRequests: laidOut.requests };
      printResult(json, { ...describe(imported), changed: before?.tree !== imported.treeId, ...boot });
    });

  template
    .command("ls")
    .description("list the templates of the store")
    .addHelpText("after", "\nExample:\n  xeno template ls")
    .action(async (_options, command: Command) => {
      const { json, home } = readContext(command);
      const listed = await listTemplates({ store: await home.openStore(), trust: home.trust });
      const rows = listed.map(({ url, isCurrent, ref, problem }) => ({
        url,
        current: isCurrent,
        tree: ref?.tree,
        created: ref === undefined ? undefined : new Date(ref.created).toISOString().slice(0, 19),
        problem: problem?.message,
      }));
      if (json) printResult(true, rows);
      else if (rows.length === 0) tell("There are no templates yet: xeno template import --help");
      else
        printResult(
          false,
          rows.map((row) => ({ ...row, current: row.current ? "current" : "", tree: row.tree?.slice(0, 12) })),
        );
    });

  template
    .command("resolve <url>")
    .description("print the immutable tree that a name means now")
    .addHelpText("after", "\nExample:\n  xeno template resolve template://Debian/12/current")
    .action(async (url: string, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const layers = await home.openLayers();
      const { tree, layout, version } = await layers.resolveUrl(url, signal);
      printResult(json, { url, version, tree, layout });
    });

  template.addCommand(createPrecacheCommand());

  return template;
}

interface ImportFlags {
  readonly debian?: string;
  readonly tar?: string;
  readonly oci?: string;
  readonly image?: string;
  readonly directory?: string;
  readonly kernel?: string | true;
  readonly variant?: "minbase" | "standard";
  readonly version?: string;
  readonly key: string;
}

type Wanted = Parameters<typeof importTemplate>[1];

/** What boots of the version before read is carried over to the new one, and laid out together. */
async function importAfter(flags: Partial<ImportFlags>, wanted: Wanted) {
  const { table, name, key, signal } = wanted;
  const before = await findTemplate(table, `template://${name}/current`);
  return await withProgress(async (show) => {
    const onProgress = ({ step, files, bytes }: { step: string; files: number; bytes: number }) =>
      show(files === 0 ? step : `${step}: ${files} files, ${formatBytes(bytes)}`);
    const imported = await importFrom(flags, { ...wanted, onProgress }, show);
    show("laying out what boots read");
    if (before !== undefined && before.tree !== imported.treeId)
      await carryTrace(table.store, before.tree, imported.treeId);
    const laidOut = await layOutTrace(table.store, imported.ref, key, { signal });
    return { imported, before, laidOut };
  });
}

/** Shared with the demonstration of `npm start`. */
export async function importFrom(
  flags: Partial<ImportFlags>,
  wanted: Wanted,
  show: (text: string) => void,
): Promise<ImportedTemplate> {
  if (flags.kernel !== undefined) return await importKernel(flags.kernel, wanted, show);
  let source: TemplateSource;
  if (flags.debian !== undefined) source = { kind: "debian", release: flags.debian, variant: flags.variant };
  else if (flags.tar !== undefined) source = { kind: "tar", file: flags.tar };
  else if (flags.oci !== undefined) source = { kind: "image", directory: flags.oci, name: flags.image };
  else if (flags.directory !== undefined) source = { kind: "directory", directory: flags.directory };
  else throw sourceMissing();
  return await importTemplate(source, wanted);
}

function requireSource({ debian, tar, oci, directory, kernel }: ImportFlags): void {
  if ([debian, tar, oci, directory, kernel].every((source) => source === undefined)) throw sourceMissing();
}

function sourceMissing(): InvalidArgumentError {
  return new InvalidArgumentError("Nothing to import was named: add --debian, --tar, --oci, --directory or --kernel.");
}

async function importKernel(
  chosen: string | true,
  wanted: Wanted,
  show: (text: string) => void,
): Promise<ImportedTemplate> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), "xeno-kernel-"));
  try {
    const outputDirectory = path.join(directory, "kernel");
    const signal = wanted.signal ?? new AbortController().signal;
    await buildKernel({ package: chosen === true ? undefined : chosen, outputDirectory, signal, onProgress: show });
    return await importTemplate({ kind: "directory", directory: outputDirectory }, wanted);
  } finally {
    await fs.rm(directory, { recursive: true, force: true });
  }
}

function describe({ url, treeId, files, bytes, newBytes, sentBytes }: ImportedTemplate) {
  return { url, tree: treeId, files, bytes, newBytes, sentBytes };
}
