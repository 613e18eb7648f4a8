import { describe, expect, it } from 'vitest';
import { readTar, type TarLimits } from './reader.ts';
import { archive, forged, inPieces, type Member, member, readAll } from './testing/archive.ts';
import { tarEnd, tarHeader, tarPadding } from './writer.ts';

const invalid = { code: 'tar_invalid' };
const tooBig = { code: 'tar_too_big' };
const header = tarHeader(member({ path: 'f' }));
const read = (bytes: Buffer, limits?: TarLimits) => readAll(inPieces(bytes, 700), limits);
const field = (at: number, bytes: string | readonly number[]) => (copy: Buffer) =>
  copy.set(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, at);
/** Returns an extension header with these bytes. */
const pax = (text: string, flag = 'x') => {
  const start = forged(tarHeader(member({ path: 'pax', size: text.length })), field(156, flag));
  return Buffer.concat([start, Buffer.from(text, 'latin1'), tarPadding(text.length)]);
};

/** Returns how many bytes of an endless archive are read before it is refused. */
async function takenOf(start: Buffer, piece: Buffer, refusal: object): Promise<number> {
  let taken = 0;
  const endless = async function* () {
    yield start;
    for (;;) {
      taken += piece.length;
      yield piece;
    }
  };
  await expect(readAll(endless())).rejects.toMatchObject(refusal);
  return taken;
}

describe('names', () => {
  it('are returned as written: callers check them', async () => {
    for (const path of ['../../etc/passwd', '/etc/passwd', 'a/../../b', './a', 'a//b']) {
      expect(await read(archive([member({ path })]))).toMatchObject([{ path }]);
      const link = member({ path: 'l', type: 'symlink', linkTarget: path });
      expect(await read(archive([link]))).toMatchObject([{ linkTarget: path }]);
    }
  });

  it('of device nodes and pipes come with their type', async () => {
    for (const type of ['character', 'block', 'fifo'] as const)
      expect(await read(archive([member({ path: 'node', type })]))).toMatchObject([{ type, size: 0 }]);
  });

  it('that end with a slash in old archives are directories, which have no body', async () => {
    const old = forged(header, field(0, 'd/'));
    expect(await read(Buffer.concat([old, tarEnd()]))).toMatchObject([{ path: 'd', type: 'directory' }]);
    const lie = forged(tarHeader(member({ path: 'f', size: 3 })), field(0, 'd/'));
    await expect(read(Buffer.concat([lie, Buffer.from('abc'), tarPadding(3)]))).rejects.toMatchObject(
      invalid,
    );
  });
});

describe('a number', () => {
  it.each([
    ['negative', field(124, '-0000000001')],
    ['negative in base 256', field(124, Array<number>(12).fill(0xff))],
    ['not octal', field(124, '00000000009')],
    ['too large in base 256', field(124, [0x80, ...Array<number>(11).fill(0xff)])],
    ['a name in place of an owner id', field(108, 'root\0\0\0\0')],
  ])('is refused when it is %s', async (_what, change) => {
    await expect(read(forged(header, change))).rejects.toMatchObject(invalid);
  });

  it('that is huge is refused before the body is read', async () => {
    const huge = forged(header, field(124, [0x80, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]));
    expect(await takenOf(huge, Buffer.alloc(4_096), tooBig)).toBe(0);
    expect(await takenOf(Buffer.concat([pax('25 size=9007199254740991\n'), header]), header, tooBig)).toBe(0);
  });

  it('in a pax record must be a decimal number', async () => {
    for (const text of [
      '13 size=0x10\n',
      '11 size=-1\n',
      '26 size=90071992547409930\n',
      '11 uid=one\n',
      '12 mtime=.5\n',
      '13 mtime=1e9\n',
    ])
      await expect(read(Buffer.concat([pax(text), header]))).rejects.toMatchObject({
        ...invalid,
        message: expect.stringMatching(/ of "f" is /) as string,
      });
  });

  it('in a pax record without a value is that of the header', async () => {
    const owned = forged(header, field(108, '0000007\0'));
    const [first] = await read(Buffer.concat([pax('8 uid=5\n7 uid=\n8 path=\n'), owned, tarEnd()]));
    expect(first).toMatchObject({ path: 'f', uid: 7 });
  });

  it('that is an owner may be negative or large: callers check it', async () => {
    for (const [text, uid] of [
      ['9 uid=-2\n', -2],
      ['18 uid=4294967296\n', 2 ** 32],
    ] as const)
      expect(await read(Buffer.concat([pax(text), header, tarEnd()]))).toMatchObject([{ uid }]);
    const minusTwo = forged(header, field(108, [...Array<number>(7).fill(0xff), 0xfe]));
    const large = forged(header, field(108, [0x80, 0, 0, 1, 0, 0, 0, 0]));
    expect(await read(Buffer.concat([minusTwo, large, tarEnd()]))).toMatchObject([
      ...[{ uid: -2 }, { uid: 2 ** 32 }],
    ]);
  });

  it('that is a time of any size is read', async () => {
    const huge = `mtime=${'9'.repeat(400)}\n`;
    const large = forged(header, field(136, [0x80, ...Array<number>(11).fill(0xff)]));
    const members = await read(
      Buffer.concat([
        pax(`${huge.length + 4} ${huge}`),
        header,
        large,
        pax('20 mtime=5000000000\n'),
        header,
        tarEnd(),
      ]),
    );
    expect(members.map(({ mtime }) => mtime)).toEqual([
      ...[Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 5_000_000_000],
    ]);
  });

  it('that is a time before 1970 becomes 0', async () => {
    const old = forged(header, field(136, Array<number>(12).fill(0xff)));
    expect(await read(Buffer.concat([old, pax('15 mtime=-1.50\n'), header, tarEnd()]))).toMatchObject([
      { mtime: 0 },
      { mtime: 0 },
    ]);
  });
});

describe('a damaged archive', () => {
  it('is refused for a flipped bit anywhere in a header', async () => {
    for (let at = 0; at < 512; at++) {
      if (at === 154 || at === 155) continue; // the bytes after the checksum's digits
      const damaged = Buffer.from(header);
      damaged[at] = (damaged[at] as number) ^ 1;
      await expect(read(damaged)).rejects.toMatchObject(invalid);
    }
  });

  it('is refused when it is cut off anywhere except between two members', async () => {
    const first = archive([member({ path: 'a' }, 'x'.repeat(600))]).subarray(0, -1_024);
    const whole = Buffer.concat([first, archive([member({ path: 'b'.repeat(150) }, 'y'.repeat(10))])]);
    const ends = whole.length - 1_024;
    const between = new Set([0, first.length]);
    for (let length = 0; length < ends; length++) {
      const cut = readAll(inPieces(whole.subarray(0, length), 4_096));
      if (between.has(length)) await expect(cut).resolves.toBeDefined();
      else await expect(cut).rejects.toMatchObject(invalid);
    }
  });

  it('is refused when members follow a single block of zeros; two blocks end it, or one at its end', async () => {
    const [zeros, other] = [Buffer.alloc(512), Buffer.alloc(512, 'x')];
    for (const end of [zeros, Buffer.concat([zeros, zeros, other])])
      expect(await read(Buffer.concat([header, end]))).toHaveLength(1);
    await expect(read(Buffer.concat([header, zeros, header]))).rejects.toMatchObject(invalid);
  });

  it.each([
    '5 a=b\n',
    '999 a=b\n',
    '6 a-b\n',
    'x a=b\n',
    '0 a=b\n',
    '-6 a=b\n',
    '6 a=bc',
    ' a=b\n',
    '66666666666 a=b\n',
  ])('is refused for the pax record %j', async (text) => {
    await expect(read(Buffer.concat([pax(text), header]))).rejects.toMatchObject(invalid);
  });
});

describe('memory', () => {
  it('is bounded for any number of extension headers before a member', async () => {
    const record = '1000 '.padEnd(990, 'k').concat('=v').padEnd(999, 'v').concat('\n');
    for (const [letter, text] of [
      ['x', record],
      ['g', record],
      ['L', 'n'.repeat(2_000)],
      ['K', ''],
      ['x', ''],
    ] as const) {
      const taken = await takenOf(Buffer.alloc(0), pax(text, letter), tooBig);
      expect(taken).toBeLessThan(2 * 2 ** 20);
    }
  });

  it('is not allocated for a header that only claims to be long', async () => {
    const claim = forged(header, (copy) => {
      field(156, 'x')(copy);
      field(124, '77777777777')(copy);
    });
    expect(await takenOf(claim, Buffer.alloc(4_096), tooBig)).toBe(0);
  });
});

describe('limits', () => {
  const two: Member[] = [member({ path: 'a' }, 'x'.repeat(40)), member({ path: 'b' }, 'y'.repeat(60))];

  it('are exact to the member and the byte', async () => {
    expect(await read(archive(two), { maxEntries: 2, maxBytes: 100 })).toHaveLength(2);
    await expect(read(archive(two), { maxEntries: 1 })).rejects.toMatchObject(tooBig);
    await expect(read(archive(two), { maxBytes: 99 })).rejects.toMatchObject(tooBig);
  });

  it('of extension headers count those of all members together', async () => {
    const long = ['p', 'q'].map((name) => member({ path: name.repeat(150) }));
    const one = 512 + '160 path='.length + 151; // a block, and a record with its newline
    expect(await read(archive(long), { maxExtensionBytes: 2 * one })).toHaveLength(2);
    await expect(read(archive(long), { maxExtensionBytes: 2 * one - 1 })).rejects.toMatchObject(tooBig);
  });
});

describe('refused features:', () => {
  it.each([
    ['a part of a multi-volume archive', forged(header, field(156, 'M')), /"f" has the unknown type "M"/],
    [
      'a sparse file in a format that is unknown',
      Buffer.concat([pax('22 GNU.sparse.major=2\n'), header]),
      /"f" is a sparse file in the unknown format 2/,
    ],
  ])('%s', async (_what, bytes, why) => {
    await expect(read(bytes)).rejects.toMatchObject({
      ...invalid,
      message: expect.stringMatching(why) as string,
    });
  });
});

describe('old formats:', () => {
  it('a header before ustar has no prefix', async () => {
    const v7 = forged(header, (copy) => copy.fill(0, 257).fill('junk', 345, 500));
    expect(await read(Buffer.concat([v7, tarEnd()]))).toMatchObject([{ path: 'f', type: 'file' }]);
  });

  it('a header of star has times after a prefix of 131 bytes', async () => {
    const star = forged(header, (copy) => {
      field(345, 'd'.repeat(131))(copy);
      field(476, '00000000001 00000000001 ')(copy);
      field(508, 'tar\0')(copy);
    });
    expect(await read(Buffer.concat([star, tarEnd()]))).toMatchObject([{ path: `${'d'.repeat(131)}/f` }]);
  });

  it('a checksum may be the sum of signed bytes', async () => {
    const signed = Buffer.from(forged(header, field(0, '\xff')));
    const sum = Number.parseInt(signed.toString('latin1', 148, 154), 8) - 256;
    signed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect(await read(Buffer.concat([signed, tarEnd()]))).toMatchObject([{ path: '\xff' }]);
  });

  it('global extension headers are ignored, as Docker does', async () => {
    const bytes = Buffer.concat([pax('12 path=bad\n13 comment=x\n', 'g'), header, tarEnd()]);
    expect(await read(bytes)).toMatchObject([{ path: 'f' }]);
  });
});

describe('a reader', () => {
  it('applies a pax record `size` to the member, not to the next extension header', async () => {
    const bytes = Buffer.concat([
      pax('9 size=3\n'),
      pax('10 path=f\n'),
      header,
      Buffer.from('abc'),
      tarPadding(3),
    ]);
    expect(await read(bytes)).toMatchObject([{ path: 'f', size: 3, content: Buffer.from('abc') }]);
  });

  it('skips bodies that the caller does not read, and returns their offsets', async () => {
    const bytes = archive([
      member({ path: 'a' }, 'x'.repeat(600)),
      member({ path: 'b'.repeat(150) }, 'body'),
    ]);
    const offsets: (number | null)[] = [];
    for await (const { bodyOffset } of readTar(inPieces(bytes, 300))) offsets.push(bodyOffset);
    expect(offsets[0]).toBe(512);
    expect(bytes.toString('latin1', offsets[1] ?? 0, (offsets[1] ?? 0) + 4)).toBe('body');
  });

  it.each(['the end', 'a refusal', 'a break'])('closes its stream after %s', async (how) => {
    let closed = false;
    const stream = async function* () {
      try {
        yield how === 'a refusal'
          ? Buffer.alloc(2_048, 1)
          : archive([member({ path: 'a' }), member({ path: 'b' })]);
        yield Buffer.alloc(512); // never requested: a file would stay open
      } finally {
        closed = true;
      }
    };
    const reading = (async () => {
      for await (const _entry of readTar(stream())) if (how === 'a break') break;
    })();
    await (how === 'a refusal' ? expect(reading).rejects.toMatchObject(invalid) : reading);
    expect(closed).toBe(true);
  });
});
