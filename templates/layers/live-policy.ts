/**
 * What of the host and of its network `.mount` files may name: what the operator allowed, in the words of a `.mount` line,
 * and what lies below it.
 *
 *     ro file:///srv/www
 *     rw nfs://10.0.0.5/export/logs
 *
 * A guest writes `.mount` files too, so nothing of a URL is believed here but its text: it is taken apart by a grammar of its
 * own, and must equal or lie below a line of the operator's in scheme, host and ports. A name is resolved once in the life
 * of the process, and only to addresses of the public Internet: who wants another one reached names it by its address.
 */
import dns from "node:dns/promises";
import net from "node:net";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import type { LiveOpening } from "../../cowfs/layers/live/protocol.ts";

export interface LivePolicy {
  /** Lines as above. None: no live layer is served. */
  readonly allow: readonly string[];
  /** Where the host has AFS mounted. Default `/afs`. */
  readonly afsRoot?: string;
}

export type LiveScheme = "file" | "afs" | "nfs";

/** A live URL taken apart. Names are bytes, one per char. */
export interface LiveUrl {
  readonly scheme: LiveScheme;
  /** Empty for `file`; the cell of `afs`. */
  readonly host: string;
  readonly names: readonly string[];
  /** Of `nfs`, where they are not found by the portmapper. */
  readonly nfsPort?: number;
  readonly mountPort?: number;
}

/** A URL that the policy allows, with what opens it. */
export interface AllowedLayer {
  readonly opening: LiveOpening;
  readonly isWritable: boolean;
}

const pattern = /^(file|afs|nfs):\/\/([A-Za-z0-9.-]{0,253}|\[[0-9a-fA-F:.]{2,45}\])(\/[\x21-\x7e]*)?$/;
const notHere = "The operator of the XenoServer allows it with --allow-layer.";

export function isLiveUrl(url: string): boolean {
  return /^(file|afs|nfs):/.test(url);
}

/** Throws `layer-malformed`. */
export function parseLiveUrl(url: string): LiveUrl {
  const fail = (reason: string): never => {
    throw new XenoError("layer-malformed", `'${url}': ${reason}`, {
      hint: "Such as file:///srv/www, nfs://10.0.0.5/export or afs://example.org/home; %20 is a space",
    });
  };
  const matched = pattern.exec(url) ?? fail("it is no file:, nfs: or afs: URL");
  const [, scheme, host, rest = "/"] = matched as unknown as [string, LiveScheme, string, string | undefined];
  if ((scheme === "file") !== (host === "")) fail(scheme === "file" ? "a file: URL has no host" : "it has no host");
  const [text, query, ...more] = rest.split("?");
  // The cell becomes a name below the AFS mount; none of the others may look like one that leads up.
  if (host.split(".").includes("") && host !== "") fail(`'${host}' is no host`);
  if (more.length > 0 || (query !== undefined && scheme !== "nfs") || rest.includes("#")) fail("it has a query");
  const names = text.split("/").filter((name) => name !== "");
  for (const [index, encoded] of names.entries()) {
    const name = decode(encoded) ?? fail(`'${encoded}' is badly encoded`);
    if (name === "." || name === ".." || /[/\0]/.test(name)) fail(`'${encoded}' is no name`);
    names[index] = name;
  }
  return { scheme, host: host.toLowerCase(), names, ...parsePorts(query, fail) };
}

export class LiveRules {
  readonly #rules: readonly { readonly url: LiveUrl; readonly isWritable: boolean }[];
  readonly #afsRoot: string;
  readonly #addresses = new Map<string, Promise<string>>();
  readonly #resolveName: (host: string) => Promise<string[]>;

  /** Throws `layer-malformed` for a line that is none. */
  constructor({ allow, afsRoot = "/afs" }: LivePolicy, resolveName = resolveAll) {
    this.#rules = allow.map(parseRule);
    this.#afsRoot = path.resolve(afsRoot);
    this.#resolveName = resolveName;
  }

  /** Throws `layer-malformed`, `layer-forbidden`, or `layer-unreachable` where a name does not resolve. */
  async allow(text: string): Promise<AllowedLayer> {
    const url = parseLiveUrl(text);
    const rules = this.#rules.filter((rule) => covers(rule.url, url));
    if (rules.length === 0)
      throw new XenoError("layer-forbidden", `'${text}' is not among what this XenoServer lets layers reach`, {
        hint: notHere,
      });
    const isWritable = rules.some((rule) => rule.isWritable);
    const at = `/${url.names.join("/")}`;
    if (url.scheme === "file") return { isWritable, opening: { kind: "directory", path: at, isWritable } };
    if (url.scheme === "afs") {
      const place = path.posix.join(this.#afsRoot, url.host, at);
      return { isWritable, opening: { kind: "directory", path: place, isWritable } };
    }
    const { host, nfsPort, mountPort } = url;
    const address = await this.#findAddress(host, text);
    return { isWritable, opening: { kind: "nfs", host, address, path: at, nfsPort, mountPort, isWritable } };
  }

  async #findAddress(host: string, url: string): Promise<string> {
    const literal = host.replace(/^\[|\]$/g, "");
    if (net.isIP(literal) !== 0) return literal;
    let address = this.#addresses.get(host);
    if (address === undefined) {
      address = this.#resolvePublic(host, url);
      this.#addresses.set(host, address);
      address.catch(() => this.#addresses.delete(host));
    }
    return await address;
  }

  async #resolvePublic(host: string, url: string): Promise<string> {
    const found = await this.#resolveName(host).catch((cause) => {
      throw new XenoError("layer-unreachable", `'${url}': the name ${host} does not resolve`, { cause });
    });
    const inner = found.find((address) => !isPublicAddress(address));
    if (inner !== undefined || found.length === 0)
      throw new XenoError("layer-forbidden", `'${url}': ${host} is ${inner ?? "nowhere"}, no address of the Internet`, {
        hint: `To reach it, allow and name it by its address: nfs://${inner}/…`,
      });
    return found[0];
  }
}

const notPublic = new net.BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const)
  notPublic.addSubnet(network, bits, "ipv4");
const globalUnicast = new net.BlockList();
globalUnicast.addSubnet("2000::", 3, "ipv6");
const transitional = new net.BlockList();
for (const [network, bits] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
] as const)
  transitional.addSubnet(network, bits, "ipv6");

/** By IANA's registries of special-purpose addresses (RFC 6890); what embeds an IPv4 address in IPv6 is none. */
export function isPublicAddress(address: string): boolean {
  if (net.isIPv4(address)) return !notPublic.check(address, "ipv4");
  if (!net.isIPv6(address) || address.includes("%")) return false;
  return globalUnicast.check(address, "ipv6") && !transitional.check(address, "ipv6");
}

function parseRule(line: string): { url: LiveUrl; isWritable: boolean } {
  const words = line.trim().split(/\s+/);
  const access = words.length > 1 ? words.shift() : "ro";
  if (words.length !== 1 || (access !== "ro" && access !== "rw"))
    throw new XenoError("layer-malformed", `'${line}' is not 'ro URL' or 'rw URL'`);
  return { url: parseLiveUrl(words[0]), isWritable: access === "rw" };
}

function covers(rule: LiveUrl, url: LiveUrl): boolean {
  return (
    rule.scheme === url.scheme &&
    rule.host === url.host &&
    rule.nfsPort === url.nfsPort &&
    rule.mountPort === url.mountPort &&
    rule.names.every((name, index) => name === url.names[index])
  );
}

function decode(name: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(name)) return undefined;
  return name.replace(/%(..)/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function parsePorts(query: string | undefined, fail: (reason: string) => never) {
  const ports: { nfsPort?: number; mountPort?: number } = {};
  if (query === undefined) return ports;
  for (const part of query.split("&")) {
    const [, name, digits] = /^(nfsport|mountport)=([1-9][0-9]{0,4})$/.exec(part) ?? fail(`'${part}' is no port`);
    const port = Number(digits);
    const key = name === "nfsport" ? "nfsPort" : "mountPort";
    if (port > 65535 || ports[key] !== undefined) fail(`'${part}' is no port`);
    ports[key] = port;
  }
  return ports;
}

async function resolveAll(host: string): Promise<string[]> {
  return (await dns.lookup(host, { all: true })).map(({ address }) => address);
}
