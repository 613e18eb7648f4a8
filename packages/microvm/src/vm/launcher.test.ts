import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { vmmOf } from '../vmm/choose.ts';
import { launch } from './launcher.ts';
import type { VmSpec } from './spec.ts';

test('a launcher that dies before it has read anything ends its VM and not this process', async () => {
  const spec: VmSpec = {
    ...{ id: 'test', acceleration: 'emulated', cpus: 1, memoryMiB: 128, scratchMiB: 64, disks: [] },
  };
  const file = await open('/dev/null');
  try {
    const host = { launcher: '/usr/bin/false', vmm: vmmOf('qemu', '/usr/bin/false'), identity: null };
    const files = {
      ...{ start: { kernel: file, initramfs: file }, disks: [], slots: 0 },
      ...{ scratch: file, scratchReader: file },
    };
    const { sockets, exited } = await launch(spec, host, files, { cgroupFiles: [], saves: false });
    sockets.lease.write('R 1\n');
    expect(await exited).toMatchObject({ reason: 'start' });
    await delay(50); // an error that nobody handles would come now, and end the test run
  } finally {
    await file.close();
  }
});
