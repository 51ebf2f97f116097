/** Program: serves HTTP on the socket that its parent sends, and answers with argv's name. */
import { createServer } from "node:http";

const server = createServer((_, response) => response.end(process.argv[2]));
process.on("message", (_, handle) => {
  server.listen(handle as never, () => process.send!("listening"));
});
