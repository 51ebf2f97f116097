/** Program: a client of 169.254.1.1:2049 whose server has vanished without a word. Says its port, then how it noticed. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import net, { type Socket } from "node:net";

const silence = `table ip silence {
  chain out {
    type filter hook output priority 0; policy accept;
    ip saddr 169.254.1.1 tcp flags & (rst|fin) != 0 drop
  }
}
`;
const nft = (options: string[], input = "") => spawnSync("/usr/sbin/nft", options, { input });

const server = net.createServer();
server.listen(2049, "169.254.1.1");
await once(server, "listening");
const accepted = once(server, "connection") as Promise<[Socket]>;
const client = net.connect({ host: "169.254.1.1", port: 2049, localAddress: "169.254.1.2" });
const [socket] = await accepted;
nft(["-f", "-"], silence);
socket.resetAndDestroy();
server.close();
await once(server, "close");
nft(["delete", "table", "ip", "silence"]);
client.on("error", (error: NodeJS.ErrnoException) => {
  process.send!({ noticed: error.code });
  process.disconnect();
});
process.send!({ port: client.localPort });
