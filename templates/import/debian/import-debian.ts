/**
 * Makes a complete Debian with mmdebstrap and reads it into nodes. The tar goes through a pipe: mmdebstrap's own
 * scratch directory is the only copy on disk, and it removes that itself, also when it is ended early.
 */
import { XenoError } from "../../../cowfs/errors.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import type { ContentSink } from "../../../xenostore/publish/content-sink.ts";
import type { ImportOptions, ImportProgress } from "../import-options.ts";
import { importTar } from "../import-tar.ts";
import { streamCommand } from "../stream-command.ts";
import { clampTimes } from "./clamp-times.ts";
import { findAptProxy, listDebianSources } from "./list-sources.ts";
import { prepareGuest, replacedFiles } from "./prepare-guest.ts";
import { openScratch } from "./scratch.ts";

export interface DebianImportOptions extends ImportOptions {
  /** mmdebstrap's name for a set of packages; `standard` is a complete system. */
  readonly variant?: "essential" | "minbase" | "important" | "standard";
  /** More packages. */
  readonly include?: readonly string[];
}

/** Debian's releases by version. */
export const debianReleases: Readonly<Record<string, string>> = { "11": "bullseye", "12": "bookworm", "13": "trixie" };

/**
 * Removes what would differ between two runs and holds no configuration. The date of a password's last change would be
 * today's; empty means that no password ages.
 */
const customize = [
  `sed -i -E 's/^([^:]*:[^:]*):[0-9]*:/\\1::/' "$1/etc/shadow"`,
  `rm -f "$1"/etc/*- "$1"/var/lib/dpkg/*-old "$1"/var/cache/debconf/*-old`,
  `rm -f "$1"/var/log/*.log "$1"/var/log/apt/*.log "$1"/var/log/apt/*.log.xz`,
  `rm -f "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/systemd/random-seed`,
].join("\n");

/** What mmdebstrap says on its way (`I: installing essential packages...`) that tells a user how far it is. */
const steps = [
  "running apt-get update",
  "downloading packages",
  "extracting archives",
  "installing essential packages",
  "installing remaining packages",
  "cleaning package lists",
  "creating tarball",
];

/**
 * Needs root, mmdebstrap and a mirror. Throws XenoError `debian-not-made` with the end of what mmdebstrap said.
 * `release` is a version of `debianReleases`.
 */
export async function importDebian(
  release: string,
  sink: ContentSink,
  options: DebianImportOptions = {},
): Promise<TreeNode> {
  const codename = debianReleases[release];
  if (codename === undefined)
    throw new XenoError("template-unknown", `there is no Debian ${release} here`, {
      hint: `known are ${Object.keys(debianReleases).join(", ")}`,
    });
  const fail = (reason: string, cause?: unknown) =>
    new XenoError("debian-not-made", `mmdebstrap could not make Debian ${release}: ${reason}`, {
      hint: "see that the host's apt works (apt-get update), that /tmp has 2 GiB free, and `xeno doctor`",
      cause,
    });
  const startedSeconds = Math.floor(Date.now() / 1000);
  let step = "starting mmdebstrap";
  const report = (files: number, bytes: number) => options.onProgress?.({ step, files, bytes });
  await using scratch = await openScratch("debian");
  const root = await streamCommand(
    {
      command: await mmdebstrapCommand(codename, options),
      // Perl and dpkg complain about locales that the new system does not have.
      env: { ...process.env, TMPDIR: scratch.directory, LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" },
      signal: options.signal,
      onLine: (line) => {
        const text = steps.find((known) => line.startsWith(`I: ${known}`));
        if (text === undefined) return;
        step = text;
        report(0, 0);
      },
      fail,
    },
    (stdout) => {
      const onProgress = ({ files, bytes }: ImportProgress) => report(files, bytes);
      return importTar(stdout, sink, { ...options, replaced: replacedFiles, onProgress });
    },
  );
  clampTimes(root, startedSeconds);
  await prepareGuest(root, sink);
  return root;
}

async function mmdebstrapCommand(codename: string, options: DebianImportOptions): Promise<string[]> {
  const proxy = await findAptProxy();
  return [
    // Whatever happens to mmdebstrap, its mounts go with it.
    "unshare",
    "--mount",
    "--propagation=private",
    "mmdebstrap",
    "--mode=root",
    "--format=tar",
    `--variant=${options.variant ?? "standard"}`,
    ...(options.include?.length ? [`--include=${options.include.join(",")}`] : []),
    ...(proxy === "" ? [] : [`--aptopt=Acquire::http::Proxy "${proxy}"`]),
    `--customize-hook=${customize}`,
    codename,
    "-",
    ...(await listDebianSources(codename)),
  ];
}
