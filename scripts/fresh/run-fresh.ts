import { spawn } from "node:child_process";
import { join } from "node:path";
import { execa } from "execa";
import { openScratch } from "../../templates/import/debian/scratch.ts";
import { root as checkout } from "../root.ts";

const inside = join(import.meta.dirname, "inside.sh");
/** For the command to take its guests, links and mounts down. */
const graceMs = 90_000;
/** Where the clone lies in the new system. */
const clone = "/root/xenoserver";
/** What of this environment a new machine would have been given too. */
const proxies = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
const passedOn = ["TERM", "NODE_EXTRA_CA_CERTS", ...proxies];

/**
 * Unpacks a base, clones this repository's HEAD into it, and runs npm commands there, one after the other, each in
 * namespaces of its own. Returns the exit codes; stops early when `signal` aborts. Leaves nothing behind.
 */
export async function runFresh(base: string, commands: readonly string[][], signal: AbortSignal): Promise<number[]> {
  await using scratch = await openScratch("fresh");
  const root = scratch.directory;
  await execa("tar", ["--extract", "--file", base, "--directory", root, "--numeric-owner", "--xattrs"], {
    cancelSignal: signal,
  });
  await execa("git", ["clone", "--quiet", "--no-local", checkout, join(root, clone)], { cancelSignal: signal });
  const { stdout: registry } = await execa("npm", ["config", "get", "registry"], { cwd: checkout });
  const env: NodeJS.ProcessEnv = {
    HOME: "/root",
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    npm_config_registry: registry.trim(),
  };
  for (const name of passedOn) if (process.env[name] !== undefined) env[name] = process.env[name];

  const codes: number[] = [];
  for (const command of commands) {
    signal.throwIfAborted();
    console.log(`\nfresh$ npm ${command.join(" ")}`);
    const started = performance.now();
    const code = await runInside([root, clone, ...command], env, signal);
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(`fresh: npm ${command.join(" ")} ended with ${code} after ${seconds} s`);
    codes.push(code);
  }
  return codes;
}

/** Killed with us and with everything in it (`--kill-child`); asked to end first when `signal` aborts. */
function runInside(args: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  const namespaces = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL"];
  const command = ["--pdeathsig", "KILL", "--", "unshare", ...namespaces, "sh", inside, ...args];
  const child = spawn("setpriv", command, { env, stdio: "inherit", detached: true });
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    signalGroup(child.pid, "SIGTERM");
    timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  };
  signal.addEventListener("abort", stop);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve(code ?? 1);
    });
  });
}

/** unshare ignores SIGTERM while it waits for its child, which is in the same group and does not. */
function signalGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (leader !== undefined) process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
