/** Getting to know a XenoServer that runs elsewhere: it is asked once, so that a slip is found here and not later. */
import { XenoError } from "../../cowfs/errors.ts";
import { checkPublicKey } from "../../xenostore/keys/key-ring.ts";
import type { Home } from "./home.ts";
import { connectServer, listServers, type RemoteServer, registerServer } from "./registered-servers.ts";

/** Throws `server-exists`, `url-invalid`, `key-missing`, `server-untrusted`, `caller-untrusted`, `server-unreachable`. */
export async function addServer(home: Home, server: RemoteServer, signal: AbortSignal): Promise<RemoteServer> {
  const { name, url, serverKey, key } = server;
  if (!/^[a-z0-9-]{1,40}$/.test(name))
    throw new XenoError("name-invalid", `"${name}" cannot name a XenoServer`, {
      hint: "Use up to 40 of a-z, 0-9 and -.",
    });
  if ((await listServers(home)).some((known) => known.name === name))
    throw new XenoError("server-exists", `there is a XenoServer ${name} already`, {
      hint: `Choose another name, or forget that one: xeno server forget ${name}`,
    });
  const remote = { name, url: parseUrl(url), serverKey: checkPublicKey(serverKey), key };
  const client = await connectServer(home, remote, 0);
  try {
    await client.status(signal);
  } finally {
    await client.close();
  }
  await registerServer(home, remote);
  return remote;
}

function parseUrl(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === "https:" && url.pathname === "/" && url.search === "" && url.username === "") return url.origin;
  throw new XenoError("url-invalid", `'${text}' is no URL of a XenoServer`, { hint: "It reads https://HOST:PORT." });
}
