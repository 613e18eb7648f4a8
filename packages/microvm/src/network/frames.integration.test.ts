import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { networkCommand, madeNetwork } from './network.ts';

/** A text in `network.c` or `gate.nft`, and the text that replaces it. */
type Change = readonly [from: string, to: string];
/** What became of the frames of a kind: how many packets reached IP in the namespace, and how many answers of ARP came back. */
interface Outcome {
  readonly reached: number;
  readonly arps: number;
}

let directory: string;
let frames: string;
let programs = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-frames-'));
  frames = compile(join(import.meta.dirname, '../testing/frames.c'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function compile(source: string): string {
  const program = join(directory, `program-${(programs += 1)}`);
  const flags = ['-static', '-O1', '-Wall', '-Wextra', '-Werror', `-Wa,-I${join(source, '..')}`];
  execFileSync('gcc', [...flags, '-o', program, source]);
  return program;
}

/** Builds the program that makes a network, with these changes. The text of each occurs exactly once in one of its files. */
function networkWith(changes: readonly Change[]): string {
  const sources = ['network.c', 'gate.nft'].map((name) =>
    readFileSync(join(import.meta.dirname, name), 'utf8'),
  );
  const changed = sources.map((source) =>
    changes.reduce((text, [from, to]) => text.replace(from, to), source),
  );
  for (const [from] of changes)
    expect(sources.join('').split(from), `${from} must occur once`).toHaveLength(2);
  const [program = '', rules = ''] = changed;
  writeFileSync(join(directory, 'network.c'), program);
  writeFileSync(join(directory, 'gate.nft'), rules);
  return compile(join(directory, 'network.c'));
}

/** Sends frames of these kinds into the tap of a new network. */
async function send(program: string, kinds: readonly string[]): Promise<Map<string, Outcome>> {
  const command = networkCommand({ program }, { tap: { owner: 0 }, channel: 3 }, [
    ...[frames, 'tap', 'tap0', ...kinds],
  ]);
  const child = spawn(command[0] as string, command.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const [output, { handles }] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    madeNetwork(child),
    once(child, 'exit'),
  ]);
  for (const handle of Object.values(handles)) handle.close();
  const lines = output.trimEnd().split('\n');
  return new Map(
    lines.map((line) => {
      const [kind = '', reached, answers = ''] = line.split('\t');
      return [kind, { reached: Number(reached), arps: Number(/arp (\d+)/.exec(answers)?.[1]) }];
    }),
  );
}

/** What is stopped by one defence, and what is in its place in `gate.nft` and `network.c` when it is taken away. */
const defences: readonly (readonly [kinds: readonly string[], changes: readonly Change[]])[] = [
  [['foreign hardware address'], [['ether saddr != 02:00:00:00:00:02 counter name foreign_mac drop', '']]],
  [
    ['spoofed source', 'address of another guest'],
    [['ip saddr != 172.31.0.2 counter name spoofed drop', '']],
  ],
  [['fragments'], [['ip frag-off & 0x3fff != 0 counter name fragments drop', '']]],
  [['source route'], [['ip hdrlength != 5 counter name options drop', '']]],
  [
    ['loopback as destination', 'multicast as destination'],
    [['0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3', '0.0.0.0/8']],
  ],
  [
    ['echo request', 'ICMP redirect', 'foreign resolver', 'UDP 443', 'tunnel'],
    [['counter name refused_protocol drop', 'accept']],
  ],
  [
    ['router advertisement'],
    [
      ['ether type != ip counter name no_ipv4 drop', 'ether type ip6 accept'],
      ['set("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");', ''],
      ['set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");', ''],
    ],
  ],
];

describe.skipIf(process.getuid?.() !== 0)('what a guest sends', () => {
  it('goes no further than the tap, unless it is TCP from its own address or a question for its gateway', async () => {
    const outcomes = await send(networkWith([]), []);
    expect([...outcomes].filter(([, { reached }]) => reached > 0).map(([kind]) => kind)).toEqual([
      ...['honest connection', 'honest question', 'question flood', 'connection flood'],
    ]);
    expect(outcomes.size).toBe(21);
    expect(outcomes.get('honest connection')).toMatchObject({ reached: 1 });
    // What may be sent may not be sent without end.
    expect(outcomes.get('question flood')?.reached).toBeLessThan(1_500);
    expect(outcomes.get('connection flood')?.reached).toBeLessThan(5_000);
    expect(outcomes.get('ARP for another address')).toMatchObject({ arps: 0 });
    expect(outcomes.get('ARP flood')?.arps).toBeLessThan(20);
  });

  it.each(defences)('goes further as %s without the one defence against it', async (kinds, changes) => {
    const outcomes = await send(networkWith(changes), kinds);
    expect([...outcomes].filter(([, { reached }]) => reached > 0).map(([kind]) => kind)).toEqual(kinds);
  });

  it('goes further as ARP and as floods without the defences against them', async () => {
    const program = networkWith([
      ['arp daddr ip 172.31.0.1 limit rate 20/second accept', 'accept'],
      ['set("/proc/sys/net/ipv4/conf/all/arp_ignore", "1");', ''],
      ['limit rate over 2000/second burst 4000 packets counter name fast_connections drop', 'accept'],
      ['limit rate over 500/second burst 1000 packets counter name fast_questions drop', 'accept'],
    ]);
    const outcomes = await send(program, [
      ...['ARP for another address', 'ARP flood', 'question flood', 'connection flood'],
    ]);
    expect(outcomes.get('ARP for another address')).toMatchObject({ arps: 1 });
    expect(outcomes.get('ARP flood')?.arps).toBeGreaterThan(100);
    expect(outcomes.get('question flood')?.reached).toBe(2_000);
    expect(outcomes.get('connection flood')?.reached).toBe(6_000);
  });
});
