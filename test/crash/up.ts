import { createReadStream, statSync } from 'node:fs';
import { expect } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import type { Stack } from '../stack.ts';

/** Starts instance and executor; the digest of an image with a shell, which the instance has, for jobs. */
export async function upWithImage(stack: Stack): Promise<string> {
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
  const { file, digest } = await busyboxImage(stack.state, 'plain');
  await stack.client().putBlob(digest, createReadStream(file), statSync(file).size);
  return digest;
}
