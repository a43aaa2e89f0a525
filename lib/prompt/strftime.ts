/** Python's `strftime` in its C locale, for templates that write the date. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const pad = (value: number, width = 2): string => String(value).padStart(width, "0");

const DIRECTIVES: Readonly<Record<string, (date: Date) => string>> = {
  "%": () => "%",
  A: (date) => DAYS[date.getDay()] as string,
  B: (date) => MONTHS[date.getMonth()] as string,
  H: (date) => pad(date.getHours()),
  I: (date) => pad(date.getHours() % 12 || 12),
  M: (date) => pad(date.getMinutes()),
  S: (date) => pad(date.getSeconds()),
  Y: (date) => String(date.getFullYear()),
  a: (date) => (DAYS[date.getDay()] as string).slice(0, 3),
  b: (date) => (MONTHS[date.getMonth()] as string).slice(0, 3),
  d: (date) => pad(date.getDate()),
  m: (date) => pad(date.getMonth() + 1),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  y: (date) => pad(date.getFullYear() % 100),
};

/**
 * @param date its local time is written, as Python's `datetime.now()` gives it
 * @throws Error for a directive that is none of those that templates use
 */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(.?)/gsu, (whole, directive: string) => {
    const write = Object.hasOwn(DIRECTIVES, directive) ? DIRECTIVES[directive] : undefined;
    if (!write) throw new Error(`strftime_now has no directive ${whole}`);
    return write(date);
  });
}
