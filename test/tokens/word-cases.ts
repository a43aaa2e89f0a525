/**
 * How Hugging Face tokenizers 0.23.2 (the Rust library, through its Node package) cuts texts into words, for the published
 * pre-tokenizers; words are separated by "|". The JavaScript library differs on some: it takes U+0085 and U+FEFF for
 * something else in GPT-2's expression, knows ASCII's digits alone, and has no long s in contractions.
 */
export const WORDS = {
  "llama-bpe": [
    "don|'T| we|'LL| '|ſo| x|'ſ|'s",
    "a|\u0085b| \u0085| c|\ufeff'|ll| \ufeff| x",
    "123|45| |٣٤½|Ⅷ²| a|1",
    " | two|  | spaces| \n\n \r\n|\tx",
    "HTTPServer| camelCase| ǅx| ÉCOLE|'S",
    "ह|िन|्द|ी| नमस|्त|े| e|\u0301a",
    "日本語|。| 中文|/| http|://|x|.y|/\n|/",
    "\u180e\u200b|\u2028 |\u3000q",
  ],
  qwen2: [
    "don|'T| we|'LL| '|ſo| x|'ſ|'s",
    "a|\u0085b| \u0085| c|\ufeff'|ll| \ufeff| x",
    "1|2|3|4|5| |٣|٤|½|Ⅷ|²| a|1",
    " | two|  | spaces| \n\n \r\n|\tx",
    "HTTPServer| camelCase| ǅx| ÉCOLE|'S",
    "ह|िन|्द|ी| नमस|्त|े| e|\u0301a",
    "日本語|。| 中文|/| http|://|x|.y|/\n|/",
    "\u180e\u200b|\u2028 |\u3000q",
  ],
  tekken: [
    "don|'T| we|'LL| '|ſo| x|'ſ|'s",
    "a|\u0085b| \u0085| c|\ufeff'|ll| \ufeff| x",
    "1|2|3|4|5| |٣|٤|½|Ⅷ|²| a|1",
    " | two|  | spaces| \n\n \r\n|\tx",
    "HTTPServer| camel|Case| ǅx| ÉCOLE|'S",
    "हिन्दी| नमस्ते| e\u0301a",
    "日本語|。| 中文|/| http|://|x|.y|/\n/",
    "\u180e\u200b|\u2028 |\u3000q",
  ],
  "gpt-4o": [
    "don'T| we'LL| '|ſo| x'ſ|'s",
    "a|\u0085b| \u0085| c|\ufeff'|ll| \ufeff| x",
    "123|45| |٣٤½|Ⅷ²| a|1",
    " | two|  | spaces| \n\n \r\n|\tx",
    "HTTPServer| camel|Case| ǅx| ÉCOLE'S",
    "हिन्दी| नमस्ते| e\u0301a",
    "日本語|。| 中文|/| http|://|x|.y|/\n/",
    "\u180e\u200b|\u2028 |\u3000q",
  ],
  "gpt-2": [
    "don|'|T| we|'|LL| '|ſo| x|'|ſ|'s",
    "a|\u0085|b| \u0085| c|\ufeff'|ll| \ufeff| x",
    "12345| ٣٤½Ⅷ²| a|1",
    " | two|  | spaces| \n\n \r\n|\t|x",
    "HTTPServer| camelCase| ǅx| ÉCOLE|'|S",
    "ह|ि|न|्|द|ी| नमस|्|त|े| e|\u0301|a",
    "日本語|。| 中文|/| http|://|x|.|y|/|\n|/",
    "\u180e\u200b|\u2028 |\u3000|q",
  ],
  starcoder: [
    "don|'|T| we|'|LL| '|ſo| x|'|ſ|'s",
    "a|\u0085|b| \u0085| c|\ufeff'|ll| \ufeff| x",
    "1|2|3|4|5| |٣|٤|½|Ⅷ|²| a|1",
    " | two|  | spaces| \n\n \r\n|\t|x",
    "HTTPServer| camelCase| ǅx| ÉCOLE|'|S",
    "ह|ि|न|्|द|ी| नमस|्|त|े| e|\u0301|a",
    "日本語|。| 中文|/| http|://|x|.|y|/|\n|/",
    "\u180e\u200b|\u2028 |\u3000|q",
  ],
} as const;
