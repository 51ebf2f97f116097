/**
 * The files that a deployment lays over its guest's root: those that it names, and those that carry its environment, the
 * operator's name servers, and the agent that runs programs where it asks for that. A guest of
 * any kind can read `/etc/xeno/environment` as a shell does; systemd gives it to all of its services (systemd-system.conf(5)).
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { FileToLay } from "../file-server/protocol.ts";
import { composeAgentFiles } from "../programs/agent-files.ts";
import type { Deployment, LaidFile } from "./deployment.ts";

/** Of all files of a deployment: its record holds them. */
const maxBytes = 512 * 1024;

/** Throws `files-invalid`. */
export function composeGuestFiles(
  { files = [], environment = {}, programs = false }: Deployment,
  nameServers: readonly string[] = [],
): FileToLay[] {
  const variables = Object.entries(environment);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  const bad = variables.find(([, value]) => /[\u0000-\u001f\u007f]/.test(value));
  if (bad !== undefined)
    throw new XenoError("files-invalid", `the environment variable ${bad[0]} holds a control character`, {
      hint: "lay a file instead: files can hold anything",
    });
  const ofEnvironment = variables.length === 0 ? [] : composeEnvironment(variables);
  const resolver = {
    path: "/etc/resolv.conf",
    content: nameServers.map((address) => `nameserver ${address}\n`).join(""),
  };
  // A file of the client's own comes last, and stays.
  const agent = programs ? composeAgentFiles() : [];
  const laid = [...(nameServers.length > 0 ? [resolver] : []), ...ofEnvironment, ...agent, ...files].map(toLay);
  const bytes = laid.reduce((sum, { base64 }) => sum + Buffer.byteLength(base64, "base64"), 0);
  if (bytes <= maxBytes) return laid;
  throw new XenoError("files-invalid", `the files of a deployment hold ${bytes} bytes, and may hold ${maxBytes}`, {
    hint: "put large files into the overlay",
  });
}

function composeEnvironment(variables: readonly [name: string, value: string][]): LaidFile[] {
  const forShells = variables.map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'\n`);
  const forSystemd = variables.map(
    ([name, value]) => `DefaultEnvironment="${name}=${value.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"\n`,
  );
  return [
    { path: "/etc/xeno/environment", content: forShells.join("") },
    { path: "/etc/systemd/system.conf.d/50-xeno-environment.conf", content: `[Manager]\n${forSystemd.join("")}` },
  ];
}

function toLay({ path, content, base64, mode = "0644", uid = 0, gid = 0 }: LaidFile): FileToLay {
  if (content !== undefined && base64 !== undefined)
    throw new XenoError("files-invalid", `the file ${path} has both content and base64`, { hint: "give one of them" });
  return {
    path,
    base64: base64 ?? Buffer.from(content ?? "").toString("base64"),
    mode: Number.parseInt(mode, 8),
    uid,
    gid,
  };
}
