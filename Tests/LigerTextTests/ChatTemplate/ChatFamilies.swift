import LigerText

enum ChatFamilies { static let cases: [ChatCase] = [] }
