//! OpenRTB on the wire: lenient borrowed parsing of requests, typed answers, our own check of them.
