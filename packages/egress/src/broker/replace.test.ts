import { text } from 'node:stream/consumers';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { replacingStream } from './replace.ts';

it('texts are replaced wherever the chunks of a stream end', async () => {
  const word = fc.constantFrom('secret', 'sec', 'ret', 'https://a/', 's', '/', 'x');
  await fc.assert(
    fc.asyncProperty(
      fc.array(word, { maxLength: 20 }),
      fc.array(fc.nat(12), { maxLength: 20 }),
      async (words, sizes) => {
        const whole = Buffer.from(words.join(''));
        const stream = replacingStream([
          ['secret', '******'],
          ['https://a/', 'http://longer.b/'],
        ]);
        let at = 0;
        for (const size of sizes) {
          stream.write(whole.subarray(at, at + size));
          at += size;
        }
        stream.end(whole.subarray(at));
        expect(await text(stream)).toBe(
          String(whole).replaceAll('secret', '******').replaceAll('https://a/', 'http://longer.b/'),
        );
      },
    ),
  );
});
