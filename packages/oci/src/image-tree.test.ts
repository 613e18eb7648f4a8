import { describe, expect, it } from 'vitest';
import { makeImageTree, nodesBelow, type PathMemory } from './image-tree.ts';

const content = { layer: 0, member: 0 };
const file = { content, isDirectory: false };
const directory = { content, isDirectory: true };

describe('whiteouts of a layer', () => {
  it('take a time that does not grow with the product of whiteouts and files', () => {
    const tree = makeImageTree({ left: 2 ** 40 });
    const count = 40_000;
    for (const layer of [0, 1]) {
      for (let at = 0; at < count; at++) {
        tree.put(`d/d/${layer}-${at}`, layer, file);
        tree.remove('d', layer);
        tree.clear('d/d', layer);
      }
      expect([...nodesBelow(tree.root)]).toHaveLength(count + 2);
    }
  });
});

describe('memory', () => {
  it('is given back for paths that are removed or replaced, and only once', () => {
    const memory: PathMemory = { left: 10_000 };
    const tree = makeImageTree(memory);
    for (let layer = 0; layer < 100; layer++) {
      tree.put('d/e/f', layer, file);
      tree.put('d/l', layer, { ...file, target: 'e' });
      tree.put('d', layer, layer % 2 === 0 ? file : directory);
      if (layer % 3 === 0) tree.clear('', layer + 1);
      tree.remove('d', layer + 1);
    }
    expect(memory.left).toBe(10_000);
  });

  it('is refused when it is used up', () => {
    const tree = makeImageTree({ left: 10_000 });
    const fill = () => {
      for (let at = 0; ; at++) tree.put(`f${at}`, 0, file);
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'image_too_big' }) as Error);
  });
});
