import { FumehoodError } from '@fumehood/base';

export function indexPolicyNotFound(name: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'index_policy_not_found',
    message: `there is no index policy ${name}`,
    remedy: 'List those that there are: `fumehood index-policies list`.',
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
