/** A port for who must say where it listens before it does. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { XenoError } from "../../cowfs/errors.ts";

/** Below those that the kernel gives to whoever names none (from 32768 on): so it is free a moment later, too. */
const [lowest, highest] = [20_000, 32_000];
const attempts = 100;

/** One of 127.0.0.1 that nobody has now. Throws `port-taken`. */
export async function choosePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = randomInt(lowest, highest);
    if (await isFree(port)) return port;
  }
  throw new XenoError("port-taken", `${attempts} ports from ${lowest} to ${highest} are taken`);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
