/** A tiny guest that serves a page, published as an overlay over a base of its own. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { Xeno } from "../control/cli/xeno.ts";
import { buildTestKernel } from "./guest-kernel.ts";

/** `init` is the overlay's; busybox is in the base. The store gets the default kernel too. */
export async function publishPageGuest(xeno: Xeno, url: string, init: string): Promise<void> {
  await xeno.newKey("demo");
  await xeno.newKey("templates");
  await xeno.json("template", "import", "Debian-kernel/6.1", "--directory", await buildTestKernel());
  const places = Object.fromEntries(["dev", "proc", "sys", "root", "tmp"].map((name) => [`${name}/.keep`, ""]));
  const base = await xeno.importFiles("base", { "bin/busybox": await readFile("/bin/busybox"), ...places }, [
    "bin/busybox",
  ]);
  const directory = await xeno.write("overlay", { "sbin/init": init, ".mount": `.\nro ${base}\n` });
  await execa("chmod", ["755", join(directory, "sbin/init")]);
  await xeno.json("publish", directory, url);
}
