/**
 * `npm run xen-lab -- build|up|run|test|down`: real Xen hosts in QEMU, with this checkout in their dom0.
 *
 *     npm run xen-lab -- up [--hosts 2] [--bare]    builds what is missing; --bare starts no Xenod
 *     npm run xen-lab -- run a xl list              in dom0 of host a
 *     npm run xen-lab -- test [--match TEST]        the driver's tests, in a dom0
 *     npm run xen-lab -- two-hosts                  a guest's life on two hosts, over the API
 *     npm run xen-lab -- debian                     a XenoServer as a service of a Debian dom0
 *     npm run xen-lab -- down
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { UsageError } from "../../bench/usage-error.ts";
import { buildLab, connectXenod, findLab, startLab, stopLab, waitForServerKey } from "../../bench/xen-lab/lab.ts";
import { findHome } from "../../control/cli/home.ts";
import { exitCodes, printResult, reportError, tell } from "../../control/cli/output.ts";
import { tellDebianDom0 } from "./debian-dom0/story.ts";
import { runTests } from "./run-tests.ts";
import { GuestLife } from "./two-hosts.ts";

const usage = `Usage: npm run xen-lab -- build
       npm run xen-lab -- up [--hosts 1|2] [--bare]
       npm run xen-lab -- run HOST COMMAND…
       npm run xen-lab -- test [OPTION OF AVA…]
       npm run xen-lab -- two-hosts
       npm run xen-lab -- debian
       npm run xen-lab -- down
`;
/** It takes ten minutes on a machine that others use, too. */
const storyDeadlineMs = 3_600_000;
const wholeLife: readonly ((life: GuestLife) => Promise<string>)[] = [
  (life) => life.deploy(),
  (life) => life.resumeElsewhere(),
  (life) => life.moveLive(),
  (life) => life.makeStranger(),
  (life) => life.killReceiver(),
  (life) => life.cyclePower(),
  (life) => life.remove(),
  (life) => life.removeStranger(),
];
const home = findHome().at("xen-lab");
const directory = join(home, "run");
const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => interrupted.abort(name));
const { signal } = interrupted;
const startedAt = performance.now();
const onProgress = (step: string) =>
  tell(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${step}`);

async function run([verb, ...options]: string[]): Promise<number> {
  switch (verb) {
    case "--help":
      process.stdout.write(usage);
      return 0;
    case "build":
      await buildLab({ directory: join(home, "images"), signal, onProgress });
      onProgress("the images are made");
      return 0;
    case "up":
      return await up(options);
    case "run":
      return await runInside(options);
    case "test":
      return await testInside(options);
    case "two-hosts":
      return await twoHosts();
    case "debian":
      await tellDebianDom0({
        home,
        signal: AbortSignal.any([signal, AbortSignal.timeout(storyDeadlineMs)]),
        onProgress,
      });
      return 0;
    case "down":
      await stopLab(directory);
      return 0;
    default:
      throw new UsageError(verb === undefined ? "what is to be done?" : `there is no '${verb}'`);
  }
}

async function up(options: string[]): Promise<number> {
  const { values } = parseArgs({
    args: options,
    options: { hosts: { type: "string", default: "2" }, bare: { type: "boolean", default: false } },
  });
  if (values.hosts !== "1" && values.hosts !== "2") throw new UsageError("--hosts is 1 or 2");
  const withXenod = !values.bare;
  const hosts = await startLab({ home, hosts: values.hosts === "1" ? 1 : 2, withXenod, signal, onProgress });
  if (withXenod) {
    const clients = await Promise.all(hosts.map((host) => connectXenod(directory, host, signal)));
    onProgress("Xenod answers");
    for (const client of clients) await client.close();
  }
  const rows = hosts.map(async ({ name, url }) => ({
    name,
    url,
    key: withXenod ? await waitForServerKey(directory, name, signal) : undefined,
  }));
  printResult(false, await Promise.all(rows));
  return 0;
}

/** In the lab that is up, or in one for the tests alone. */
async function testInside(options: string[]): Promise<number> {
  const known = await findLab(directory);
  const hosts = known.length > 0 ? known : await startLab({ home, hosts: 1, withXenod: false, signal, onProgress });
  try {
    onProgress("running the tests in dom0");
    return await runTests({ directory, host: hosts[0], options, signal });
  } finally {
    if (known.length === 0) await stopLab(directory);
  }
}

/** In the lab that is up, or in one for this alone. */
async function twoHosts(): Promise<number> {
  const known = await findLab(directory);
  const hosts = known.length > 0 ? known : await startLab({ home, hosts: 2, signal, onProgress });
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(storyDeadlineMs)]);
    const life = await GuestLife.begin({ directory, hosts, signal: within });
    onProgress("both XenoServers answer");
    for (const act of wholeLife) onProgress(await act(life));
    await life.close();
    return 0;
  } finally {
    if (known.length === 0) await stopLab(directory);
  }
}

async function runInside([name, ...command]: string[]): Promise<number> {
  const hosts = await findLab(directory);
  const host = hosts.find((candidate) => candidate.name === name);
  if (host === undefined || command.length === 0) {
    const known = hosts.map((candidate) => candidate.name).join(", ") || "none: npm run xen-lab -- up";
    throw new UsageError(`run needs a host (${known}) and a command`);
  }
  const { status, output } = await host.shell.run(command.join(" "), signal);
  process.stdout.write(output);
  return status;
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exitCode = exitCodes.usage;
  } else if (signal.aborted) process.exitCode = exitCodes.interrupted;
  else {
    reportError(false, error);
    process.exitCode = exitCodes.error;
  }
}
process.exit();
