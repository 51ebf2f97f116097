/**
 * Program, in the client's namespace: asks a service over UDP at a steady pace, and tells its parent what was answered.
 * It is told {addresses, question}; `drains` has it tell the answers since the last time.
 */
import { createSocket } from "node:dgram";
import { setPriority } from "node:os";
import type { Answer, AskOrder } from "./asker.ts";
import type { Form } from "./services.ts";

// An asker that waits for the processor would count that as the guest's silence.
setPriority(-19);
const socket = createSocket("udp4");
let answers: Answer[] = [];
let sequence = 0;
let timer: NodeJS.Timeout | undefined;
const now = () => performance.timeOrigin + performance.now();

socket.on("error", () => {});
/** Each has the time of the question in it, which comes back. */
const forms: Record<Form, { ask(): string; read(answer: string): Omit<Answer, "at"> }> = {
  clock: {
    ask: () => `${++sequence} ${now().toFixed(1)}`,
    read(answer) {
      const [, asked, clock] = answer.split(" ");
      return { askedAt: Number(asked), clock: Number(clock) };
    },
  },
  getstatus: {
    ask: () => `\xff\xff\xff\xffgetstatus ${now().toFixed(1)}\n`,
    read: (answer) => ({ askedAt: Number(/\\challenge\\([0-9.]+)/.exec(answer)?.[1]) }),
  },
};
let form = forms.clock;
socket.on("message", (message) => {
  answers.push({ at: now(), ...form.read(message.toString("latin1")) });
});
process.on("disconnect", () => process.exit());
process.on("message", ({ addresses, question, drains }: AskOrder) => {
  if (drains) {
    process.send!(answers);
    answers = [];
    return;
  }
  clearInterval(timer);
  form = forms[question.form];
  timer = setInterval(() => {
    for (const address of addresses) socket.send(Buffer.from(form.ask(), "latin1"), question.port, address, () => {});
  }, question.everyMs);
});
