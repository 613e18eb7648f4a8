import { FumehoodError } from '@fumehood/base';
import type * as z from 'zod';

export function indexJobInvalid(root: string, { issues: [issue] }: z.ZodError): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'index_config_invalid',
    message: `the job that indexes ${root === '' ? 'the root' : root} cannot be made: ${issue?.path.join('.')}: ${issue?.message}`,
    remedy: 'docs/auto-indexing.md has the fields of an index configuration.',
  });
}

export function indexPolicyNotFound(name: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'index_policy_not_found',
    message: `there is no index policy ${name}`,
    remedy: 'List those that there are: `fumehood index-policies list`.',
  });
}

export function indexSettingsNotFound(repository: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'index_settings_not_found',
    message: `nothing is set for the index jobs of ${repository}`,
    remedy: 'Set something: `fumehood index settings set`. `fumehood repos list` shows the repositories.',
  });
}

export function indexConfigNotFound(repository: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'index_config_not_found',
    message: `the instance has no index configuration for ${repository}`,
    remedy: 'Store one: `fumehood index config set`. `fumehood repos list` shows the repositories.',
  });
}
