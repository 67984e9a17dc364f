import keyv from './keyv.js';

export const { KeyvBmemc } = keyv;
export default KeyvBmemc;
