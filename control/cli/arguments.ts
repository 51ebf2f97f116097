/** What commands take beside URLs. Whatever is malformed is wrong usage, refused before anything is looked at. */
import { InvalidArgumentError } from "commander";
import type { PublishedPort } from "../../xenod/daemon/deployment.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface DomainTarget {
  readonly server: string;
  readonly domain: string;
}

/** A whole number from 1. */
export function parseNumber(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError("A whole number from 1 is needed.");
  return number;
}

/** `500M`, `20G`, `4096`: bytes, with powers of 1000. */
export function parseBytes(text: string): number {
  const match = /^(\d{1,12}(?:\.\d{1,3})?)([kMGT]?)B?$/.exec(text);
  const bytes = match === null ? 0 : Math.round(Number(match[1]) * 1000 ** " kMGT".indexOf(match[2] || " "));
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new InvalidArgumentError("A size is needed, such as 500M or 20G.");
  return bytes;
}

/** The same, or 0. */
export function parseRoom(text: string): number {
  return text === "0" ? 0 : parseBytes(text);
}

/** `127.0.0.1:20490`, `[::1]:20490`; port 0 takes any. */
export function parseListen(text: string): HostPort {
  const match = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) throw new InvalidArgumentError("HOST:PORT is needed, such as 127.0.0.1:20490.");
  return { host: match[1].replace(/^\[(.*)\]$/, "$1"), port };
}

/** `8080:80`; host port 0 takes any. */
export function parsePorts(text: string): { readonly host: number; readonly guest: number } {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  const [host, guest] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || host > 65_535 || guest > 65_535 || guest === 0)
    throw new InvalidArgumentError("HOST-PORT:GUEST-PORT is needed, such as 8080:80.");
  return { host, guest };
}

/** `a,b,c`, each once. */
export function parseServers(text: string): string[] {
  const names = text.split(",");
  if (names.includes("")) throw new InvalidArgumentError("Names separated by commas are needed, such as a,b,c.");
  return [...new Set(names)];
}

/** `a/apache` */
export function parseDomain(text: string): DomainTarget {
  const [server, domain, ...rest] = text.split("/");
  if (!server || !domain || rest.length > 0)
    throw new InvalidArgumentError("SERVER/DOMAIN is needed, as `xeno ps` lists them.");
  return { server, domain };
}

/** `8080:80`, `53:53/udp` */
export function parsePublishedPort(text: string): PublishedPort {
  const match = /^(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
  const [published, guest] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || published < 1 || published > 65_535 || guest < 1 || guest > 65_535)
    throw new InvalidArgumentError("PUBLISHED:GUEST or PUBLISHED:GUEST/udp is needed, such as 8080:80.");
  return { published, guest, ...(match[3] === "udp" ? { protocol: "udp" as const } : {}) };
}

/** `NAME=VALUE` */
export function parseAssignment(text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("NAME=VALUE is needed.");
  return [text.slice(0, at), text.slice(at + 1)];
}

/** For an option that may come several times. */
export function collect<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  return (text, before = []) => [...before, parse(text)];
}
