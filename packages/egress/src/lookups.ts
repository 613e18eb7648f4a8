import { once } from 'node:events';
import { isIP, type Socket } from 'node:net';
import type { Clock } from '@fumehood/base';
import type { Aliases } from './aliases.ts';
import { Answers } from './answers.ts';
import { decideAnswer, decideName, decideUnresolved, type EgressRules, type Verdict } from './decide.ts';
import {
  answerOf,
  messageMax,
  type Question,
  type Resolution,
  readQuestion,
  unreadableAnswer,
} from './dns.ts';
import { Bucket, type GuestLimits } from './limits.ts';
import type { Receipt, Refusal } from '@fumehood/protocol';
import type { Pins } from './pins.ts';
import type { Resolve } from './resolver.ts';

interface LookupDeps {
  readonly rules: EgressRules;
  /** Names of the gateway itself, under every policy. */
  readonly own: { readonly names: ReadonlySet<string>; readonly address: string };
  readonly pins: Pins;
  readonly aliases: Aliases;
  readonly resolve: Resolve;
  /** Whether connections to this name go through an HTTP proxy. */
  readonly hasProxy: (name: string) => boolean;
  readonly clock: Pick<Clock, 'now' | 'bootTime'>;
  readonly limits: Pick<GuestLimits, 'questions' | 'questionsPerSecond' | 'questionMs'>;
  readonly onReceipt: (receipt: Receipt) => void;
}

/** Most streams of a guest for questions. */
const streamsMax = 16;
/** Most bytes of a question: a name, and what EDNS says. */
const questionMax = 4_096;
/** How long a guest may keep the address of its gateway, s. */
const ownTtlSeconds = 300;

/** How long an address stands for a name before the guest has to ask again. */
const aliasTtlSeconds = 60;

/** Ends a stream, and with it every wait for it. */
const end = (socket: Socket) => socket.destroy(new Error('the stream was ended'));

/** Answers the questions of DNS of one guest. */
export interface Lookups {
  /** Returns the answer to a datagram, or null if there is none. Never rejects. */
  answer(message: Buffer): Promise<Buffer | null>;
  /** Answers the questions of a stream (RFC 7766), one after the other. The caller listens for errors of the socket. */
  serveStream(socket: Socket): Promise<void>;
  close(): void;
}

/** Answers with what the policy allows, and with "no such name" to everything else, so that a client does not wait. */
export function openLookups(deps: LookupDeps): Lookups {
  const { rules, own, pins, aliases, resolve, hasProxy, clock, limits, onReceipt } = deps;
  let asked = 0;
  const rate = new Bucket(limits.questionsPerSecond);
  const streams = new Set<Socket>();
  const answers = new Answers(clock);
  const receipt = (
    name: string | null,
    verdict: Receipt['verdict'],
    rule: string,
    reason: Refusal | null = null,
  ) => {
    const nothing = { address: null, port: null, serverName: null, sentBytes: 0, receivedBytes: 0 };
    onReceipt({ at: clock.now(), kind: 'lookup', name, ...nothing, verdict, rule, reason });
  };

  /** Answers with an address that stands for the name. */
  const giveAlias = (
    name: string,
    verdict: Verdict,
    rule: string,
    targets: readonly string[],
  ): Resolution => {
    if (!verdict.allowed) {
      receipt(name, 'refused', verdict.rule, verdict.reason);
      return { code: 'no_such_name' };
    }
    const address = aliases.give(name, targets);
    if (address === null || !pins.pin(name, [address], aliasTtlSeconds)) {
      receipt(name, 'refused', 'the guest has been told too many addresses', 'addresses');
      return { code: 'refused' };
    }
    receipt(name, 'allowed', rule);
    return { code: 'ok', addresses: [address], ttlSeconds: aliasTtlSeconds };
  };
  const resolved = async ({ name, type }: Question): Promise<Resolution> => {
    if (own.names.has(name)) return { code: 'ok', addresses: [own.address], ttlSeconds: ownTtlSeconds };
    const allowed = decideName(rules, name);
    if (!allowed.allowed) {
      receipt(name, 'refused', allowed.rule, allowed.reason);
      return { code: 'no_such_name' };
    }
    // There is nothing but IPv4 for a guest, so nobody is asked for anything else.
    if (type !== 1) return { code: 'ok', addresses: [], ttlSeconds: 0 };
    const earlier = answers.find(name);
    const found = earlier ?? (await resolve(name));
    const isUnresolved = found.code !== 'ok' || found.addresses.length === 0;
    if (isUnresolved && hasProxy(name))
      return giveAlias(name, decideUnresolved(rules, name), allowed.rule, []);
    if (found.code !== 'ok') {
      receipt(
        name,
        'failed',
        found.code === 'no_such_name' ? 'there is no such name' : 'the name servers did not answer',
      );
      return found;
    }
    const reachable = decideAnswer(rules, name, found.addresses);
    if (hasProxy(name) || found.addresses.some((address) => isIP(address) !== 4))
      return giveAlias(name, reachable, allowed.rule, found.addresses);
    if (!reachable.allowed) {
      receipt(name, 'refused', reachable.rule, reachable.reason);
      return { code: 'no_such_name' };
    }
    if (!pins.pin(name, found.addresses, found.ttlSeconds)) {
      receipt(name, 'refused', 'the guest has been told too many addresses', 'addresses');
      return { code: 'refused' };
    }
    if (!earlier) answers.keep(name, found);
    receipt(name, 'allowed', allowed.rule);
    return found;
  };
  /** Returns the limit that a further question exceeds, or null. */
  const exceeded = (): string | null => {
    if (asked >= limits.questions)
      return `a guest asks at most ${limits.questions} questions at the same time`;
    return rate.take() ? null : `a guest asks at most ${limits.questionsPerSecond} questions a second`;
  };
  /** Answers a question. `isOver` says that it was beyond a limit. */
  const answer = async (
    message: Buffer,
    maxBytes: number | null,
  ): Promise<{ readonly bytes: Buffer | null; readonly isOver: boolean }> => {
    const limit = exceeded();
    const question = readQuestion(message);
    if (limit !== null || !question) {
      const rule = limit ?? 'the question is none of one plain name of the internet';
      receipt(question?.name ?? null, 'refused', rule, limit === null ? 'name_length' : 'questions');
      const bytes = question
        ? answerOf(question, { code: 'refused' }, maxBytes ?? question.datagramMax)
        : unreadableAnswer(message);
      return { bytes, isOver: limit !== null };
    }
    asked += 1;
    const found = await resolved(question).catch((): Resolution => ({ code: 'failed' }));
    asked -= 1;
    return { bytes: answerOf(question, found, maxBytes ?? question.datagramMax), isOver: false };
  };
  return {
    answer: async (message) => (await answer(message, null)).bytes,
    async serveStream(socket) {
      if (streams.size >= streamsMax) {
        receipt(null, 'refused', `a guest has at most ${streamsMax} streams for questions`, 'questions');
        socket.resetAndDestroy();
        return;
      }
      streams.add(socket);
      const late = () => setTimeout(end, limits.questionMs, socket);
      let timer = late();
      socket.once('close', () => {
        streams.delete(socket);
        clearTimeout(timer);
      });
      let rest = Buffer.alloc(0);
      try {
        for await (const chunk of socket as AsyncIterable<Buffer>) {
          rest = Buffer.concat([rest, chunk]);
          while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
            const next = 2 + rest.readUInt16BE(0);
            const { bytes, isOver } = await answer(rest.subarray(2, next), messageMax);
            if (!bytes) {
              socket.resetAndDestroy();
              return;
            }
            const length = Buffer.alloc(2);
            length.writeUInt16BE(bytes.length);
            // A guest that reads nothing gets no further answer.
            if (!socket.write(Buffer.concat([length, bytes]))) await once(socket, 'drain');
            if (isOver) {
              socket.resetAndDestroy();
              return;
            }
            rest = rest.subarray(next);
            clearTimeout(timer);
            timer = late();
          }
          if (rest.length >= 2 && rest.readUInt16BE(0) > questionMax) {
            socket.resetAndDestroy();
            return;
          }
        }
        socket.end();
      } catch {
        socket.destroy();
      }
    },
    close() {
      for (const socket of streams) end(socket);
    },
  };
}
