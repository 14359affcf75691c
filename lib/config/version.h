/* version.h: of the programs and of what they write; raised with each release. */
#ifndef CONFIG_VERSION_H
#define CONFIG_VERSION_H

#define SPECASR_VERSION "0.1.0"

#endif
