import { randomUUID } from "node:crypto";
import path from "node:path";
import { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { mountFileSystem } from "../../cowfs/fuse/mount.ts";
import { openUnion } from "../../cowfs/union/union.ts";
import { serveUnion } from "../../xenod/file-server/serve-union.ts";
import { readContext } from "./context.ts";
import { printResult } from "./output.ts";

export function createMountCommands(): Command[] {
  const mount = new Command("mount")
    .description("mount a template or an overlay through FUSE, with a journal of its own for changes")
    .argument("<url>", "template://… or xenostore://…")
    .argument("<directory>")
    .option("--journal <directory>", "keep the changes here (default: a new one in $XENO_HOME)")
    .addHelpText(
      "after",
      "\nRuns until the directory is unmounted or Ctrl-C.\n\nExample:\n  xeno mount xenostore://demo/apache /mnt --journal ./changes",
    )
    .action(async (url: string, directory: string, options: { journal?: string }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const layers = await home.openLayers();
      const journal = path.resolve(options.journal ?? home.at("journals", randomUUID()));
      const union = await openUnion({ journal, base: url, resolve: layers.resolve, signal });
      const mounted = await mountFileSystem(union, directory, { name: url, signal });
      printResult(json, { mounted: path.resolve(directory), url, journal });
      await mounted.unmounted;
      await union.close();
      await layers.close();
    });

  const serve = new Command("serve")
    .description("export a template or an overlay over NFSv3: MOUNT and NFS on one port, export path /")
    .argument("<url>", "template://… or xenostore://…")
    .requiredOption("--listen <host:port>", "where to listen")
    .option("--journal <directory>", "keep the changes here (default: a new one in $XENO_HOME)")
    .addHelpText(
      "after",
      "\nAnyone who reaches the port may read and write as any user.\n\nExample:\n  xeno serve template://Debian/12/current --listen 127.0.0.1:20490",
    )
    .action(async (url: string, options: { listen: string; journal?: string }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const layers = await home.openLayers();
      const journal = path.resolve(options.journal ?? home.at("journals", randomUUID()));
      const server = await serveUnion({
        url,
        journal,
        resolve: layers.resolve,
        listen: parseListen(options.listen),
        signal,
      });
      printResult(json, { listening: options.listen, url, journal });
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await server.close();
      await layers.close();
    });

  return [mount, serve];
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535)
    throw new XenoError("address-malformed", `'${text}' is not HOST:PORT`, {
      hint: "For example: --listen 127.0.0.1:20490",
    });
  return { host: match[1].replace(/^\[(.*)\]$/, "$1"), port };
}
