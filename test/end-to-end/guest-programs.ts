/** Programs of this machine as files of a guest, with the libraries that they load. */
import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";

export function collectPrograms(paths: readonly string[]): Record<string, Buffer> {
  const files: Record<string, Buffer> = {};
  for (const path of paths) {
    files[path.slice(1)] = readFileSync(path);
    for (const [, library] of execFileSync("ldd", [path], { encoding: "utf8" }).matchAll(/(\/\S+) \(0x/g)) {
      // The loader goes by the names that the program has; the files behind them are one.
      files[library.slice(1)] ??= readFileSync(realpathSync(library));
    }
  }
  return files;
}
