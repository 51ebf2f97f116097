/** A directory for what is being made, with a place to mount at. Whoever was killed here is cleaned up after by the next. */
import fs from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../../xenod/system-path.ts";

export interface Scratch extends AsyncDisposable {
  readonly path: string;
  readonly mountPoint: string;
}

/** Empty, and of this program alone. Disposing removes it. */
export async function takeScratch(directory: string): Promise<Scratch> {
  const mountPoint = path.join(directory, "root");
  const remove = async () => {
    // A dead FUSE mount cannot even be looked at; and what is still mounted must not be removed.
    await execa("umount", ["--lazy", mountPoint], { env: systemEnvironment, reject: false, stdin: "ignore" });
    await execa("rm", ["-rf", "--one-file-system", directory], { env: systemEnvironment, stdin: "ignore" });
  };
  await remove();
  await fs.mkdir(mountPoint, { recursive: true, mode: 0o700 });
  return { path: directory, mountPoint, [Symbol.asyncDispose]: remove };
}
