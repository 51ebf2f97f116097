/** Where tests that open very many journals put them: in memory where there is such a place, as syncs are slow under load. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const home = fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir();

export function makeFastDirectory(): string {
  return fs.mkdtempSync(path.join(home, "xeno-test-"));
}
