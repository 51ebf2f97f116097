/** A real nginx that serves a directory on a loopback port, gone when the test ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import { findFreePort } from "./free-port.ts";

const deadlineMs = 60_000;

/** `location` is what is added to the configuration of the one location. Settles with the URL once it answers. */
export async function startNginx(
  t: Pick<ExecutionContext, "teardown">,
  root: string,
  location = "autoindex on; autoindex_format json;",
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "xn-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const port = await findFreePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  await writeFile(
    join(directory, "nginx.conf"),
    `daemon off;
worker_processes 1;
user root;
pid ${directory}/pid;
events {}
http {
  access_log off;
  default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join("\n  ")}
  server {
    listen 127.0.0.1:${port};
    location / { root ${root}; ${location} }
  }
}
`,
  );
  const log = join(directory, "error.log");
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "nginx", "-e", log, "-p", directory, "-c", "nginx.conf"], {
    env: systemEnvironment,
    stdio: "ignore",
  });
  child.once("error", () => {});
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    await gone;
  });
  const url = `http://127.0.0.1:${port}/`;
  for (const end = performance.now() + deadlineMs; ; ) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer !== undefined) return url;
    if (performance.now() > end || child.exitCode !== null)
      throw new Error(`nginx does not answer: ${await readFile(log, "utf8").catch(() => "")}`);
    await delay(20);
  }
}
