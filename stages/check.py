"""Check the whole of params.yaml and the list of words, so that a mistake stops the run before a model is loaded."""

from stages.pipeline import settings
from stages.pipeline.stage import Stage, run
from stages.pipeline.word_lists import read_words, write_words


def main(stage: Stage) -> None:
    checked = settings.load(stage.input("params.yaml"))
    source = stage.input(checked.words_file)
    words = checked.words if source == settings.PARAMS else read_words(source)
    # What capture depends on: only another list of words reruns it, not a harmless edit of params.yaml.
    write_words(stage.output("data/word_list.csv"), words)
    print(f"{source}: {sum(map(len, words.values()))} words in {len(words)} categories")


if __name__ == "__main__":
    run("check", main, __doc__)
