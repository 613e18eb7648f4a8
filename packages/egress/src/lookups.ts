import type { Socket } from 'node:net';
import type { Clock } from '@fumehood/base';
import { decideAnswer, decideName, type EgressRules } from './decide.ts';
import { answerOf, messageMax, type Question, type Resolution, readQuestion } from './dns.ts';
import type { Receipt, Refusal } from '@fumehood/protocol';
import type { Pins } from './pins.ts';
import type { Resolve } from './resolver.ts';

interface LookupDeps {
  readonly rules: EgressRules;
  readonly pins: Pins;
  readonly resolve: Resolve;
  readonly clock: Pick<Clock, 'now'>;
  readonly onReceipt: (receipt: Receipt) => void;
}

/** Most questions of a guest that are asked at the same time, and most of its streams for questions. */
const askedMax = 64;
const streamsMax = 16;
const streamIdleMs = 10_000;

/** Answers the questions of DNS of one guest. */
export interface Lookups {
  /** Returns the answer to a datagram, or null if there is none. Never rejects. */
  answer(message: Buffer): Promise<Buffer | null>;
  /** Answers the questions of a stream (RFC 7766), one after the other. */
  serveStream(socket: Socket): Promise<void>;
  close(): void;
}

/** Answers with what the policy allows, and with "no such name" to everything else, so that a client does not wait. */
export function openLookups({ rules, pins, resolve, clock, onReceipt }: LookupDeps): Lookups {
  let asked = 0;
  const streams = new Set<Socket>();

  const resolved = async (question: Question): Promise<Resolution> => {
    const { name } = question;
    const at = clock.now();
    const receipt = (verdict: Receipt['verdict'], rule: string, reason: Refusal | null = null) => {
      const nothing = { address: null, port: null, serverName: null, sentBytes: 0, receivedBytes: 0 };
      onReceipt({ at, kind: 'lookup', name, ...nothing, verdict, rule, reason });
    };
    const allowed = decideName(rules, name);
    if (!allowed.allowed) {
      receipt('refused', allowed.rule, allowed.reason);
      return { code: 'no_such_name' };
    }
    // There is nothing but IPv4 for a guest, so nobody is asked for anything else.
    if (question.type !== 1) return { code: 'ok', addresses: [], ttlSeconds: 0 };
    const found = await resolve(name);
    if (found.code !== 'ok') {
      receipt(
        'failed',
        found.code === 'no_such_name' ? 'there is no such name' : 'the name servers did not answer',
      );
      return found;
    }
    const reachable = decideAnswer(rules, name, found.addresses);
    if (!reachable.allowed) {
      receipt('refused', reachable.rule, reachable.reason);
      return { code: 'no_such_name' };
    }
    if (!pins.pin(name, found.addresses, found.ttlSeconds)) {
      receipt('refused', 'the guest has been told too many addresses', 'addresses');
      return { code: 'refused' };
    }
    receipt('allowed', allowed.rule);
    return found;
  };
  const answer = async (message: Buffer, maxBytes: number | null): Promise<Buffer | null> => {
    const question = readQuestion(message);
    if (!question || asked >= askedMax) return null;
    asked += 1;
    try {
      return answerOf(question, await resolved(question), maxBytes ?? question.datagramMax);
    } catch {
      return answerOf(question, { code: 'failed' }, maxBytes ?? question.datagramMax);
    } finally {
      asked -= 1;
    }
  };
  return {
    answer: (message) => answer(message, null),
    async serveStream(socket) {
      if (streams.size >= streamsMax) {
        socket.resetAndDestroy();
        return;
      }
      streams.add(socket);
      socket.setTimeout(streamIdleMs, () => socket.destroy());
      socket.once('close', () => streams.delete(socket));
      let rest = Buffer.alloc(0);
      try {
        for await (const chunk of socket as AsyncIterable<Buffer>) {
          rest = Buffer.concat([rest, chunk]);
          while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
            const end = 2 + rest.readUInt16BE(0);
            const reply = await answer(rest.subarray(2, end), messageMax);
            if (!reply) {
              socket.resetAndDestroy();
              return;
            }
            const length = Buffer.alloc(2);
            length.writeUInt16BE(reply.length);
            socket.write(Buffer.concat([length, reply]));
            rest = rest.subarray(end);
          }
        }
        socket.end();
      } catch {
        socket.destroy();
      }
    },
    close() {
      for (const socket of streams) socket.destroy();
    },
  };
}
