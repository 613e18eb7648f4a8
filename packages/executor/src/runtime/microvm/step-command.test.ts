import type { ImageConfig } from '@fumehood/oci';
import type { DockerStep } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { stepArguments, stepDirectory, stepEnvironment, stepName, stepScript } from './step-command.ts';

const image: ImageConfig = {
  env: ['LANG=C', 'A=image'],
  entrypoint: ['/entry', '-x'],
  cmd: ['default'],
  user: '',
  workingDir: '/srv',
};
const step = (more: Partial<DockerStep> = {}): DockerStep => ({ image: 'x', ...more });

describe('the command of a step', () => {
  it('is the entrypoint and Cmd of the image, and arguments replace Cmd', () => {
    expect(stepArguments(step(), image, null)).toEqual(['/entry', '-x', 'default']);
    expect(stepArguments(step({ argv: ['a', ''] }), image, null)).toEqual(['/entry', '-x', 'a', '']);
    expect(stepArguments(step({ argv: [] }), image, null)).toEqual(['/entry', '-x', 'default']);
    expect(stepArguments(step({ argv: ['echo'] }), { ...image, entrypoint: [] }, null)).toEqual(['echo']);
    expect(() => stepArguments(step(), { ...image, entrypoint: [], cmd: [] }, null)).toThrow(
      'names no command',
    );
  });

  it('is a script instead of the entrypoint when the step has `commands`', () => {
    const lines = step({ commands: ['set -e', 'echo "$A"'] });
    expect(stepScript(lines)).toBe('#!/bin/sh\nset -e\necho "$A"\n');
    expect(stepArguments(lines, image, '/fumehood/0.sh')).toEqual(['/bin/sh', '/fumehood/0.sh']);
    expect(stepScript(step({ commands: [] }))).toBeNull();
  });
});

describe('the environment of a step', () => {
  it("has PATH and HOSTNAME, then the image's variables, then the step's, and none of the executor's", () => {
    expect(stepEnvironment(step({ env: ['A=step=1', 'HOME', '=x', 'B='] }), image, 'job-1', null)).toEqual([
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOSTNAME=job-1',
      'LANG=C',
      'A=step=1',
      'B=',
    ]);
    expect(stepEnvironment(step({ env: ['PATH=/x'] }), image, 'h', null)[0]).toBe('PATH=/x');
  });

  it('makes git trust the workspace, unless the step configures git itself', () => {
    expect(stepEnvironment(step(), image, 'h', '')).toContain('GIT_CONFIG_VALUE_0=/data');
    expect(stepEnvironment(step(), image, 'h', 'a/b')).toContain('GIT_CONFIG_VALUE_0=/data/a/b');
    expect(stepEnvironment(step({ env: ['GIT_CONFIG_COUNT=0'] }), image, 'h', '')).not.toContain(
      'GIT_CONFIG_VALUE_0=/data',
    );
  });

  it('has the variables of the broker, which give way to those of the image and the step, in any case', () => {
    const broker = {
      variables: { npm_config_registry: 'b', PIP_INDEX_URL: 'b', LANG: 'b' },
      gitConfig: [['url.b.insteadOf', 'a']] as const,
    };
    const env = stepEnvironment(step({ env: ['NPM_CONFIG_REGISTRY=own'] }), image, 'h', '', broker);
    expect(env).toContain('PIP_INDEX_URL=b');
    expect(env.join('\n')).not.toMatch(/npm_config_registry=b|LANG=b/);
    expect(env).toEqual(
      expect.arrayContaining([
        'GIT_CONFIG_COUNT=2',
        'GIT_CONFIG_KEY_0=safe.directory',
        'GIT_CONFIG_KEY_1=url.b.insteadOf',
        'GIT_CONFIG_VALUE_1=a',
      ]),
    );
    expect(
      stepEnvironment(step({ env: ['GIT_CONFIG_COUNT=0'] }), image, 'h', '', broker).join(),
    ).not.toContain('insteadOf');
  });
});

describe('the working directory of a step', () => {
  it("is in the workspace, or the image's own when there is no workspace", () => {
    expect(stepDirectory(step({ dir: 'a//./b/' }), image, true)).toBe('/data/a/b');
    expect(stepDirectory(step(), image, true)).toBe('/data');
    expect(stepDirectory(step(), image, false)).toBe('/srv');
    expect(() => stepDirectory(step({ dir: 'a/../../etc' }), image, true)).toThrow('leads out');
  });
});

describe('the name of a step', () => {
  it('is its key without unsafe characters, or its index when it has no key', () => {
    expect(stepName(step({ key: 'pre-index.0/../x y' }), 3)).toBe('pre-index.0_.._x_y');
    expect(stepName(step(), 3)).toBe('3');
  });
});
