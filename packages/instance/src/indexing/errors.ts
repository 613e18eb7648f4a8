import { FumehoodError } from '@fumehood/base';

export function indexPolicyNotFound(name: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'index_policy_not_found',
    message: `there is no index policy ${name}`,
    remedy: 'List those that there are: `fumehood index-policies list`.',
  });
}
