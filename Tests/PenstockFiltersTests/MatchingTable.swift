// SPDX-License-Identifier: Apache-2.0

/// A pattern with events that it matches and events that it does not.
struct PatternGroup: Sendable {
    let pattern: String
    let yes: [String]
    let no: [String]

    init(_ pattern: String, yes: [String] = [], no: [String] = []) {
        self.pattern = pattern
        self.yes = yes
        self.no = no
    }

    var cases: [PatternCase] {
        self.yes.map { .yes(self.pattern, $0) } + self.no.map { .no(self.pattern, $0) }
    }
}

/// What the language says, case by case.
enum MatchingTable {
    static let cases = [
        Self.values, Self.texts, Self.numbers, Self.presence, Self.negations, Self.structure, Self.arrays,
        Self.corners,
    ]
    .flatMap { $0.flatMap(\.cases) }

    static let values = [
        PatternGroup(
            #"{"a":["x"]}"#,
            yes: [
                #"{"a":"x"}"#, #"{"b":1,"a":"x"}"#, #"{"a":["y","x"]}"#, #"{"a":"\u0078"}"#,
                #"{"\u0061":"x"}"#,
            ],
            no: [
                #"{"a":"X"}"#, #"{"a":"xx"}"#, #"{"a":""}"#, #"{"a":null}"#, #"{"a":1}"#, #"{"b":"x"}"#,
                #"{}"#,
                #"{"a":{"x":"x"}}"#, #"{"a":[]}"#, #"{"a":{}}"#, #"{"A":"x"}"#, #"{"b":{"a":"x"}}"#,
            ]
        ),
        PatternGroup(
            #"{"a":[""]}"#,
            yes: [#"{"a":""}"#],
            no: [#"{"a":" "}"#, #"{"a":null}"#, #"{"a":[]}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"a":[null]}"#,
            yes: [#"{"a":null}"#, #"{"a":[1,null]}"#],
            no: [#"{"a":"null"}"#, #"{"a":0}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"a":[true]}"#,
            yes: [#"{"a":true}"#],
            no: [#"{"a":false}"#, #"{"a":"true"}"#, #"{"a":1}"#]
        ),
        PatternGroup(
            #"{"a":[false]}"#,
            yes: [#"{"a":false}"#],
            no: [#"{"a":true}"#, #"{"a":null}"#, #"{"a":0}"#]
        ),
        PatternGroup(
            #"{"a":["x",5,null]}"#,
            yes: [#"{"a":"x"}"#, #"{"a":5}"#, #"{"a":null}"#],
            no: [#"{"a":"5"}"#, #"{"a":true}"#]
        ),
        PatternGroup(#"{"a":[{"exactly":"x"}]}"#, yes: [#"{"a":"x"}"#], no: [#"{"a":"xy"}"#, #"{"a":"X"}"#]),
        PatternGroup(
            #"{"a":["q\"b\\\/\n"]}"#,
            yes: [#"{"a":"q\"b\\/\n"}"#, #"{"a":"q\u0022b\u005C\u002f\u000a"}"#],
            no: [#"{"a":"qb/n"}"#]
        ),
        PatternGroup(
            #"{"a":["größe 😀"]}"#,
            yes: [#"{"a":"größe 😀"}"#, #"{"a":"gr\u00f6\u00DFe \ud83d\ude00"}"#],
            no: [#"{"a":"GRÖSSE 😀"}"#, #"{"a":"grösse 😀"}"#]
        ),
        PatternGroup(
            #"{"a b":["x"],"":[1]}"#,
            yes: [#"{"a b":"x","":1}"#],
            no: [#"{"a b":"x"}"#, #"{"ab":"x","":1}"#]
        ),
    ]

    static let texts = [
        PatternGroup(
            #"{"a":[{"prefix":"eu-"}]}"#,
            yes: [#"{"a":"eu-west-1"}"#, #"{"a":"eu-"}"#, #"{"a":["us-1","eu-2"]}"#, #"{"a":"\u0065u-1"}"#],
            no: [#"{"a":"EU-west-1"}"#, #"{"a":"eu"}"#, #"{"a":" eu-"}"#, #"{"a":5}"#, #"{"a":null}"#]
        ),
        PatternGroup(
            #"{"a":[{"prefix":""}]}"#,
            yes: [#"{"a":""}"#, #"{"a":"x"}"#],
            no: [#"{"a":1}"#, #"{"a":null}"#]
        ),
        PatternGroup(
            #"{"a":[{"suffix":".png"}]}"#,
            yes: [#"{"a":"x.png"}"#, #"{"a":".png"}"#],
            no: [#"{"a":"x.PNG"}"#, #"{"a":"png"}"#, #"{"a":"x.png "}"#]
        ),
        PatternGroup(
            #"{"a":[{"equals-ignore-case":"Straße Ω"}]}"#,
            yes: [#"{"a":"straße ω"}"#, #"{"a":"STRASSE Ω"}"#, #"{"a":"sTrAßE ω"}"#],
            no: [#"{"a":"strase ω"}"#, #"{"a":"straße ω "}"#, #"{"a":"straße"}"#]
        ),
        PatternGroup(
            #"{"a":[{"prefix":{"equals-ignore-case":"EU-"}}]}"#,
            yes: [#"{"a":"eu-west"}"#, #"{"a":"Eu-"}"#],
            no: [#"{"a":"e"}"#, #"{"a":"us-eu-"}"#, #"{"a":1}"#]
        ),
        PatternGroup(
            #"{"a":[{"suffix":{"equals-ignore-case":".PnG"}}]}"#,
            yes: [#"{"a":"x.png"}"#, #"{"a":"y.PNG"}"#, #"{"a":".pNg"}"#],
            no: [#"{"a":"png"}"#, #"{"a":"x.png2"}"#]
        ),
        PatternGroup(
            #"{"a":[{"wildcard":"a*b"}]}"#,
            yes: [#"{"a":"ab"}"#, #"{"a":"aXXb"}"#, #"{"a":"abab"}"#],
            no: [#"{"a":"a"}"#, #"{"a":"abc"}"#, #"{"a":"xab"}"#, #"{"a":"b"}"#, #"{"a":1}"#]
        ),
        PatternGroup(
            #"{"a":[{"wildcard":"*"}]}"#,
            yes: [#"{"a":""}"#, #"{"a":"anything"}"#],
            no: [#"{"a":1}"#, #"{"a":null}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"a":[{"wildcard":"*.log.*.gz"}]}"#,
            yes: [#"{"a":"x.log.1.gz"}"#, #"{"a":".log..gz"}"#, #"{"a":"a.log.log.1.gz"}"#],
            no: [#"{"a":"x.log.gz"}"#, #"{"a":"x.log.1.gz.bak"}"#]
        ),
        PatternGroup(
            #"{"a":[{"wildcard":"a\\*\\\\*"}]}"#,
            yes: [#"{"a":"a*\\"}"#, #"{"a":"a*\\xyz"}"#],
            no: [#"{"a":"aX\\"}"#, #"{"a":"a*"}"#]
        ),
        PatternGroup(#"{"a":[{"wildcard":"plain"}]}"#, yes: [#"{"a":"plain"}"#], no: [#"{"a":"plain1"}"#]),
        PatternGroup(
            #"{"a":[{"wildcard":"aa*aa"}]}"#,
            yes: [#"{"a":"aaaa"}"#, #"{"a":"aaaaa"}"#],
            no: [#"{"a":"aaa"}"#, #"{"a":"aa"}"#]
        ),
        PatternGroup(
            #"{"ip":[{"cidr":"10.0.0.0/24"}]}"#,
            yes: [#"{"ip":"10.0.0.0"}"#, #"{"ip":"10.0.0.255"}"#, #"{"ip":["1.1.1.1","10.0.0.7"]}"#],
            no: [
                #"{"ip":"10.0.1.0"}"#, #"{"ip":"10.0.0"}"#, #"{"ip":"10.0.0.256"}"#, #"{"ip":"10.0.0.1/32"}"#,
                #"{"ip":10}"#, #"{"ip":"::ffff:10.0.0.1"}"#, #"{"ip":"10.0.0.01"}"#, #"{"ip":""}"#,
            ]
        ),
        PatternGroup(
            #"{"ip":[{"cidr":"0.0.0.0/0"}]}"#,
            yes: [#"{"ip":"255.1.2.3"}"#],
            no: [#"{"ip":"::1"}"#]
        ),
        PatternGroup(
            #"{"ip":[{"cidr":"10.0.0.9/32"}]}"#,
            yes: [#"{"ip":"10.0.0.9"}"#],
            no: [#"{"ip":"10.0.0.8"}"#]
        ),
        PatternGroup(
            #"{"ip":[{"cidr":"2001:db8::/32"}]}"#,
            yes: [
                #"{"ip":"2001:db8::1"}"#, #"{"ip":"2001:0DB8:0:0:0:0:0:1"}"#,
                #"{"ip":"2001:db8:1::10.0.0.1"}"#,
            ],
            no: [
                #"{"ip":"2001:db9::1"}"#, #"{"ip":"2001:db8"}"#, #"{"ip":"2001:db8:::1"}"#,
                #"{"ip":"10.0.0.1"}"#,
                #"{"ip":"2001:db8::1::2"}"#, #"{"ip":":"}"#, #"{"ip":"2001:db8::12345"}"#,
            ]
        ),
        PatternGroup(
            #"{"ip":[{"cidr":"::/0"}]}"#,
            yes: [#"{"ip":"::"}"#, #"{"ip":"ff::ff"}"#, #"{"ip":"1::"}"#],
            no: [#"{"ip":"1.2.3.4"}"#]
        ),
    ]

    static let numbers = [
        PatternGroup(
            #"{"n":[300]}"#,
            yes: [#"{"n":300}"#, #"{"n":300.0}"#, #"{"n":3.0e2}"#, #"{"n":3E+2}"#, #"{"n":30000e-2}"#],
            no: [#"{"n":"300"}"#, #"{"n":301}"#, #"{"n":-300}"#, #"{"n":300.5}"#]
        ),
        PatternGroup(#"{"n":[3.018e2]}"#, yes: [#"{"n":301.8}"#], no: [#"{"n":301.81}"#]),
        PatternGroup(
            #"{"n":[-0]}"#,
            yes: [#"{"n":0}"#, #"{"n":-0.0}"#, #"{"n":0e9}"#],
            no: [#"{"n":"0"}"#, #"{"n":null}"#]
        ),
        PatternGroup(
            #"{"n":[9007199254740993]}"#,
            yes: [#"{"n":9007199254740993}"#],
            no: [#"{"n":9007199254740992}"#, #"{"n":9007199254740994}"#]
        ),
        PatternGroup(
            #"{"n":[123456789012345678901234567890]}"#,
            yes: [#"{"n":123456789012345678901234567890}"#],
            no: [#"{"n":1}"#]
        ),
        PatternGroup(
            #"{"n":[{"numeric":["=",5]}]}"#,
            yes: [#"{"n":5}"#, #"{"n":5.0}"#, #"{"n":[4,5]}"#],
            no: [#"{"n":"5"}"#, #"{"n":5.01}"#, #"{"n":true}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"n":[{"numeric":[">",0,"<=",5]}]}"#,
            yes: [#"{"n":0.0001}"#, #"{"n":5}"#, #"{"n":5.000}"#, #"{"n":1e-300}"#],
            no: [#"{"n":0}"#, #"{"n":5.1}"#, #"{"n":-1}"#, #"{"n":"3"}"#, #"{"n":1e400}"#, #"{"n":-1e400}"#]
        ),
        PatternGroup(
            #"{"n":[{"numeric":["<",10]}]}"#,
            yes: [#"{"n":9.99}"#, #"{"n":-1e308}"#],
            no: [#"{"n":10}"#]
        ),
        PatternGroup(
            #"{"n":[{"numeric":["<=",10]}]}"#,
            yes: [#"{"n":10}"#, #"{"n":10.0}"#],
            no: [#"{"n":10.5}"#]
        ),
        PatternGroup(
            #"{"n":[{"numeric":[">",10]}]}"#,
            yes: [#"{"n":11}"#, #"{"n":1e999}"#],
            no: [#"{"n":10}"#]
        ),
        PatternGroup(#"{"n":[{"numeric":[">=",10]}]}"#, yes: [#"{"n":10}"#], no: [#"{"n":9}"#]),
        PatternGroup(
            #"{"n":[{"numeric":[">=",-3.5,"<",-3]}]}"#,
            yes: [#"{"n":-3.5}"#, #"{"n":-3.1}"#],
            no: [#"{"n":-3}"#, #"{"n":-4}"#]
        ),
        PatternGroup(
            #"{"n":[{"numeric":["=",1]},{"numeric":[">",100]}]}"#,
            yes: [#"{"n":1}"#, #"{"n":101}"#],
            no: [#"{"n":2}"#]
        ),
    ]

    static let presence = [
        PatternGroup(
            #"{"a":[{"exists":true}]}"#,
            yes: [
                #"{"a":1}"#, #"{"a":null}"#, #"{"a":""}"#, #"{"a":false}"#, #"{"a":[1]}"#, #"{"a":[[1]]}"#,
            ],
            no: [#"{}"#, #"{"a":{}}"#, #"{"a":{"b":1}}"#, #"{"a":[]}"#, #"{"a":[{}]}"#, #"{"b":1}"#]
        ),
        PatternGroup(
            #"{"a":[{"exists":false}]}"#,
            yes: [#"{}"#, #"{"b":1}"#, #"{"a":{"b":1}}"#, #"{"a":[]}"#, #"{"a":[{"b":1}]}"#, #"{"A":1}"#],
            no: [#"{"a":1}"#, #"{"a":null}"#, #"{"a":[1]}"#, #"{"a":""}"#]
        ),
        PatternGroup(
            #"{"a":{"b":[{"exists":false}]}}"#,
            yes: [#"{}"#, #"{"a":1}"#, #"{"a":{}}"#, #"{"a":{"c":1}}"#, #"{"a":[]}"#, #"{"a":{"b":{}}}"#],
            no: [
                #"{"a":{"b":1}}"#, #"{"a":[{"c":1},{"b":1}]}"#, #"{"a":[{"b":1},{"c":1}]}"#,
                #"{"a":{"b":[null]}}"#,
            ]
        ),
        PatternGroup(
            #"{"a":["x",{"exists":false}]}"#,
            yes: [#"{"a":"x"}"#, #"{}"#, #"{"a":{}}"#],
            no: [#"{"a":"y"}"#, #"{"a":null}"#]
        ),
        PatternGroup(
            #"{"a":[{"exists":false}],"b":[1]}"#,
            yes: [#"{"b":1}"#, #"{"b":[0,1]}"#],
            no: [#"{"a":2,"b":1}"#, #"{"b":2}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"a":[{"exists":false},1],"b":[{"exists":false},2]}"#,
            yes: [#"{}"#, #"{"a":1}"#, #"{"b":2}"#, #"{"a":1,"b":2}"#],
            no: [#"{"a":2}"#, #"{"a":1,"b":1}"#]
        ),
    ]

    static let negations = [
        PatternGroup(
            #"{"a":[{"anything-but":"x"}]}"#,
            yes: [
                #"{"a":"y"}"#, #"{"a":""}"#, #"{"a":1}"#, #"{"a":null}"#, #"{"a":true}"#, #"{"a":["x","y"]}"#,
            ],
            no: [#"{"a":"x"}"#, #"{}"#, #"{"a":{}}"#, #"{"a":[]}"#, #"{"a":["x","x"]}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":["x","y"]}]}"#,
            yes: [#"{"a":"z"}"#, #"{"a":"X"}"#],
            no: [#"{"a":"x"}"#, #"{"a":"y"}"#, #"{"b":"z"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":5}]}"#,
            yes: [#"{"a":6}"#, #"{"a":"5"}"#],
            no: [#"{"a":5}"#, #"{"a":5.0}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":[1,2.5]}]}"#,
            yes: [#"{"a":2}"#, #"{"a":"1"}"#],
            no: [#"{"a":1}"#, #"{"a":25e-1}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"prefix":"eu-"}}]}"#,
            yes: [#"{"a":"us-1"}"#, #"{"a":"EU-1"}"#, #"{"a":1}"#, #"{"a":""}"#],
            no: [#"{"a":"eu-1"}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"prefix":["eu-","us-"]}}]}"#,
            yes: [#"{"a":"ap-1"}"#],
            no: [#"{"a":"eu-1"}"#, #"{"a":"us-1"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"suffix":".tmp"}}]}"#,
            yes: [#"{"a":"a.txt"}"#],
            no: [#"{"a":"a.tmp"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"suffix":[".tmp",".bak"]}}]}"#,
            yes: [#"{"a":"a.txt"}"#],
            no: [#"{"a":"a.tmp"}"#, #"{"a":"a.bak"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"equals-ignore-case":"Test"}}]}"#,
            yes: [#"{"a":"tests"}"#, #"{"a":5}"#],
            no: [#"{"a":"test"}"#, #"{"a":"TEST"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"equals-ignore-case":["a","b"]}}]}"#,
            yes: [#"{"a":"c"}"#],
            no: [#"{"a":"A"}"#, #"{"a":"B"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"wildcard":"*/lib/*"}}]}"#,
            yes: [#"{"a":"/src/x"}"#],
            no: [#"{"a":"/lib/x"}"#, #"{"a":"y/lib/"}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":{"wildcard":["*.md","x*"]}}]}"#,
            yes: [#"{"a":"a.txt"}"#],
            no: [#"{"a":"a.md"}"#, #"{"a":"xyz"}"#]
        ),
    ]

    static let structure = [
        PatternGroup(
            #"{"a":["x"],"b":["y"]}"#,
            yes: [#"{"a":"x","b":"y"}"#, #"{"b":"y","c":{"a":1},"a":"x"}"#],
            no: [#"{"a":"x"}"#, #"{"b":"y"}"#, #"{"a":"x","b":"z"}"#]
        ),
        PatternGroup(
            #"{"a":{"b":{"c":["x"]},"d":[1]}}"#,
            yes: [#"{"a":{"b":{"c":"x"},"d":1}}"#, #"{"a":{"d":1,"b":{"z":0,"c":"x"}}}"#],
            no: [
                #"{"a":{"b":{"c":"x"}}}"#, #"{"a":{"b":"x","d":1}}"#, #"{"a":"x"}"#,
                #"{"b":{"c":"x"},"d":1}"#,
            ]
        ),
        PatternGroup(
            #"{"a.b":["x"]}"#,
            yes: [#"{"a":{"b":"x"}}"#, #"{"a.b":"x"}"#, #"{"a":[{"b":"x"}]}"#],
            no: [#"{"a":"x"}"#, #"{"b":"x"}"#, #"{"a":{"c":"x"}}"#, #"{"a.c":"x"}"#, #"{"a.":"x"}"#]
        ),
        PatternGroup(
            #"{"a":{"b":{"c":[1]},"d":[2]}}"#,
            yes: [
                #"{"a.b.c":1,"a.d":2}"#, #"{"a":{"b.c":1,"d":2}}"#, #"{"a.b":{"c":1},"a":{"d":2}}"#,
                #"{"a":{"d":2},"a.b":{"c":1}}"#,
            ],
            no: [#"{"a.b.c":1}"#, #"{"a.b":1,"a.d":2}"#]
        ),
        PatternGroup(
            #"{"a":["x"]}"#,
            yes: [#"{"a":"y","a":"x"}"#, #"{"a":{"a":1},"a":"x"}"#],
            no: [#"{"a":"x","a":"y"}"#, #"{"a":"x","a":{}}"#, #"{"a":"x","\u0061":null}"#]
        ),
        PatternGroup(
            #"{"a":{"b":[1],"c":[{"exists":false}]}}"#,
            yes: [#"{"a":{"c":1},"a":{"b":1}}"#],
            no: [#"{"a":{"b":1},"a":{"d":2}}"#, #"{"a":{"b":1,"c":1}}"#]
        ),
        PatternGroup(
            #"{"$or":[{"a":[1]},{"b":[2]}]}"#,
            yes: [#"{"a":1}"#, #"{"b":2}"#, #"{"a":1,"b":2}"#, #"{"a":0,"b":2}"#],
            no: [#"{"a":2,"b":1}"#, #"{}"#]
        ),
        PatternGroup(
            #"{"c":[3],"$or":[{"a":[1]},{"b":[2]}]}"#,
            yes: [#"{"c":3,"a":1}"#, #"{"c":3,"b":2}"#],
            no: [#"{"a":1}"#, #"{"c":3}"#, #"{"c":4,"a":1,"b":2}"#]
        ),
        PatternGroup(
            #"{"d":{"$or":[{"a":[1],"b":[2]},{"c":{"e":[{"exists":false}]},"f":[6]}]}}"#,
            yes: [#"{"d":{"a":1,"b":2}}"#, #"{"d":{"f":6}}"#, #"{"d":{"f":6,"c":1}}"#],
            no: [#"{"d":{"a":1}}"#, #"{"d":{"f":6,"c":{"e":1}}}"#, #"{"a":1,"b":2}"#]
        ),
        PatternGroup(
            #"{"$or":[{"a":[1]},{"$or":[{"b":[2]},{"c":[3]}]}],"d":[4]}"#,
            yes: [#"{"a":1,"d":4}"#, #"{"b":2,"d":4}"#, #"{"c":3,"d":4}"#],
            no: [#"{"d":4}"#, #"{"c":3}"#]
        ),
        PatternGroup(
            #"{"$or":[{"a":[1]},{"b":[2]}],"c":{"$or":[{"d":[3]},{"e":[4]}]}}"#,
            yes: [#"{"a":1,"c":{"d":3}}"#, #"{"b":2,"c":{"e":4}}"#],
            no: [#"{"a":1}"#, #"{"c":{"d":3}}"#]
        ),
        PatternGroup(#"{"$or":["x"]}"#, yes: [#"{"$or":"x"}"#], no: [#"{"a":"x"}"#]),
        PatternGroup(#"{"$or":{"a":[1]}}"#, yes: [#"{"$or":{"a":1}}"#], no: [#"{"a":1}"#]),
        PatternGroup(
            #"{"$or":[{"prefix":"x"},{"exists":false}]}"#,
            yes: [#"{"$or":"xy"}"#, #"{}"#],
            no: [#"{"$or":"y"}"#]
        ),
        PatternGroup(
            #"{"a":["x"],"a":["y"]}"#,
            yes: [#"{"a":"y"}"#],
            no: [#"{"a":"x"}"#]
        ),
        PatternGroup(
            #"{"a":{"b":[1]},"a":{"c":[2]}}"#,
            yes: [#"{"a":{"b":1,"c":2}}"#],
            no: [#"{"a":{"c":2}}"#, #"{"a":{"b":1}}"#]
        ),
        PatternGroup(
            #"{"abcdefgh":[1],"abcdefghi":[2],"abcdefgj":[3]}"#,
            yes: [#"{"abcdefgh":1,"abcdefghi":2,"abcdefgj":3}"#],
            no: [
                #"{"abcdefgh":1,"abcdefghj":2,"abcdefgj":3}"#, #"{"abcdefgi":1,"abcdefghi":2,"abcdefgj":3}"#,
            ]
        ),
        PatternGroup(
            #"{"a":[1]}"#,
            yes: [" \n{ \"a\" :\t1 \r}\n", #"{"x":[[[{"y":[{}]}]]],"a":1}"#, #"{"x":"}","y":"\"]","a":1}"#],
            no: [#"{"x":{"a":1}}"#, #"{"x":[{"a":1}]}"#]
        ),
    ]

    static let arrays = [
        PatternGroup(
            #"{"a":{"b":[1],"c":[2]}}"#,
            yes: [
                #"{"a":[{"b":1,"c":2}]}"#, #"{"a":[{"b":0},{"c":2,"b":1}]}"#, #"{"a":[[{"b":1,"c":2}]]}"#,
                #"{"a":[{"b":[0,1],"c":[2,3]}]}"#, #"{"a":[5,null,{"b":1,"c":2},"x"]}"#,
            ],
            no: [
                #"{"a":[{"b":1},{"c":2}]}"#, #"{"a":[{"b":1,"c":0},{"b":0,"c":2}]}"#,
                #"{"a":[[{"b":1}],[{"c":2}]]}"#,
                #"{"a":[]}"#, #"{"a":[1,2]}"#, #"{"a":[[{"b":1},{"c":2}]]}"#,
            ]
        ),
        PatternGroup(
            #"{"a":{"b":[1]},"d":[4]}"#,
            yes: [#"{"a":[{"b":0},{"b":1}],"d":4}"#, #"{"d":[3,4],"a":[{"b":1}]}"#],
            no: [#"{"a":[{"b":0}],"d":4}"#]
        ),
        PatternGroup(
            #"{"o":{"i":{"x":[1],"y":[2]},"z":[3]}}"#,
            yes: [
                #"{"o":[{"i":[{"x":1,"y":2}],"z":3}]}"#, #"{"o":{"i":[{"x":0},{"x":1,"y":2}],"z":3}}"#,
                #"{"o":[{"z":3,"i":{"x":1,"y":2}},{}]}"#,
            ],
            no: [
                #"{"o":[{"i":[{"x":1,"y":2}]},{"z":3}]}"#, #"{"o":[{"i":[{"x":1},{"y":2}],"z":3}]}"#,
                #"{"o":[{"i":[{"x":1}],"z":3},{"i":[{"y":2}],"z":3}]}"#,
            ]
        ),
        PatternGroup(
            #"{"a":{"$or":[{"b":[1],"c":[2]},{"b":[3],"c":[4]}]}}"#,
            yes: [#"{"a":[{"b":1,"c":4},{"b":3,"c":4}]}"#],
            no: [#"{"a":[{"b":1,"c":4},{"b":3,"c":2}]}"#]
        ),
        PatternGroup(
            #"{"a":[{"anything-but":[1]}],"b":[true]}"#,
            yes: [#"{"a":[1,2],"b":true}"#],
            no: [#"{"a":[1,1],"b":true}"#, #"{"a":[],"b":true}"#]
        ),
        PatternGroup(
            #"{"a":{"b":[{"exists":false}],"c":[2]}}"#,
            yes: [#"{"a":[{"c":2},{"c":3}]}"#, #"{"a":{"c":2}}"#],
            no: [#"{"a":[{"b":1},{"c":2}]}"#, #"{"a":[{"c":2,"b":1}]}"#]
        ),
        PatternGroup(
            #"{"x":{"a":[{"exists":false}],"k":[1]}}"#,
            yes: [#"{"x":[{"a":1,"a":{},"k":1}]}"#, #"{"x":[{"a":2},{"a":3}],"x":{"k":1}}"#],
            no: [#"{"x":[{"a":1},{"a":2,"a":{},"k":1}]}"#]
        ),
    ]
}
