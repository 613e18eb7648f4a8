import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { lineMapOf, parseHunks } from './line-map.ts';

/** Lines that stay, and then lines that are replaced by others: at least one on either side. */
const edit = fc
  .record({ kept: fc.integer({ min: 1, max: 5 }), gone: fc.nat(4), added: fc.nat(4) })
  .filter(({ gone, added }) => gone + added > 0);

it('a line that was not edited is found in both directions, whatever was edited around it', () => {
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 20 }), fc.boolean(), (edits, isAtTop) => {
      const before: number[] = [];
      const after: number[] = [];
      let diff = 'diff --git a/x b/x\n--- a/x\n+++ b/x\n';
      let id = 0;
      const head = (lines: readonly number[], count: number) =>
        `${lines.length + (count === 0 ? 0 : 1)}${count === 1 ? '' : `,${count}`}`;
      for (const [index, { kept, gone, added }] of edits.entries()) {
        const same = isAtTop && index === 0 ? 0 : kept;
        for (let n = 0; n < same; n += 1) {
          id += 1;
          before.push(id);
          after.push(id);
        }
        diff += `@@ -${head(before, gone)} +${head(after, added)} @@ some function\n`;
        for (let n = 0; n < gone; n += 1) before.push((id += 1));
        for (let n = 0; n < added; n += 1) after.push((id += 1));
        diff += '-@@ -1 +1 @@ is a line of the file\r@@ -1 +1 @@\n'.repeat(gone);
      }
      before.push(0);
      after.push(0);
      const map = lineMapOf(parseHunks(diff));
      const found = (lines: readonly number[], line: number | undefined) => {
        const at = lines.findIndex((one) => one === line);
        return at < 0 ? null : at;
      };
      for (const [at, line] of before.entries()) expect(map.toNew(at)).toBe(found(after, line));
      for (const [at, line] of after.entries()) expect(map.toOld(at)).toBe(found(before, line));
    }),
  );
});
