/**
 * A Ceph cluster of one monitor, one OSD in memory and one RADOS gateway: a real S3 service, from empty in 6 s, gone when
 * the test ends. Debian's ceph-mon, ceph-osd and radosgw; no manager is needed to store objects.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { ExecutionContext } from "ava";
import { execa } from "execa";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import { findFreePort } from "./free-port.ts";

const deadlineMs = 120_000;
const memoryBytes = 2 * 2 ** 30;

export interface RadosGateway {
  /** `http://127.0.0.1:…` */
  readonly endpoint: string;
  /** For the environment of whoever uses it. */
  readonly credentials: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string };
  /** A new bucket, as `s3://…` */
  makeBucket(): Promise<string>;
  /** Runs radosgw-admin. */
  admin(...args: string[]): Promise<string>;
}

export async function startRadosGateway(t: Pick<ExecutionContext, "teardown">): Promise<RadosGateway> {
  const directory = await mkdtemp(join(tmpdir(), "xr-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const configuration = join(directory, "ceph.conf");
  const [monitorPort, port] = [await findFreePort(), await findFreePort()];
  const [fsid, osdId] = [randomUUID(), randomUUID()];
  for (const folder of ["mon", "osd", "run"]) await mkdir(join(directory, folder));
  await writeFile(configuration, describeCluster({ directory, fsid, monitorPort, port }));
  const env = { ...systemEnvironment, CEPH_CONF: configuration };
  const run = async (command: string, ...args: string[]) =>
    (await execa(command, args, { env, extendEnv: false, timeout: deadlineMs })).stdout;
  const serve = (command: string, ...args: string[]) => startDaemon(t, directory, env, command, args);

  const map = join(directory, "monmap");
  await run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", `[v2:127.0.0.1:${monitorPort}]`, map);
  await run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map);
  serve("ceph-mon", "-f", "-i", "a");
  await run("ceph", "osd", "new", osdId);
  // It asks the monitor, which does not know this OSD yet, unless it is told.
  await run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osdId, "--fsid", fsid);
  serve("ceph-osd", "-f", "-i", "0");
  const [accessKeyId, secretAccessKey] = [randomBytes(8).toString("hex"), randomBytes(16).toString("hex")];
  const keys = ["--access-key", accessKeyId, "--secret-key", secretAccessKey];
  await run("radosgw-admin", "user", "create", "--uid=xeno", "--display-name=xeno", ...keys);
  const gateway = serve("radosgw", "-f", "-n", "client.admin");
  const endpoint = `http://127.0.0.1:${port}`;
  await untilAnswers(endpoint, gateway, join(directory, "radosgw.out"));

  const client = new S3Client({
    region: "us-east-1",
    endpoint,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: "WHEN_REQUIRED",
  });
  t.teardown(() => client.destroy());
  return {
    endpoint,
    credentials: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    async makeBucket() {
      const bucket = `test-${randomBytes(6).toString("hex")}`;
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      return `s3://${bucket}/some/prefix?endpoint=${encodeURIComponent(endpoint)}`;
    },
    admin: (...args) => run("radosgw-admin", ...args),
  };
}

interface Cluster {
  readonly directory: string;
  readonly fsid: string;
  readonly monitorPort: number;
  readonly port: number;
}

/** Nothing asks who it is, and the monitor decides in 50 ms what it usually collects for a second. */
function describeCluster({ directory, fsid, monitorPort, port }: Cluster): string {
  return `[global]
fsid = ${fsid}
mon_host = [v2:127.0.0.1:${monitorPort}]
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc secure
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = ${directory}/run
admin_socket = ${directory}/run/$name.$pid.asok
log_file = ${directory}/$name.log
log_to_stderr = false
mon_data = ${directory}/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_max_pg_per_osd = 1000
mon_warn_on_pool_no_redundancy = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
osd_data = ${directory}/osd
osd_objectstore = memstore
memstore_device_bytes = ${memoryBytes}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_data = ${directory}/rgw
`;
}

function startDaemon(
  t: Pick<ExecutionContext, "teardown">,
  directory: string,
  env: NodeJS.ProcessEnv,
  command: string,
  args: readonly string[],
): ChildProcess {
  // Dies with its parent: a test process that is killed runs no teardown.
  const child = spawn("setpriv", ["--pdeathsig", "KILL", command, ...args], {
    env,
    cwd: directory,
    stdio: "ignore",
  });
  child.once("error", () => {});
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  });
  return child;
}

async function untilAnswers(endpoint: string, gateway: ChildProcess, log: string): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await fetch(endpoint).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    if (performance.now() > end || gateway.exitCode !== null)
      throw new Error(`radosgw does not answer: ${await readFile(log, "utf8").catch(() => "")}`);
    await delay(50);
  }
}
